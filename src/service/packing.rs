//! When a finished segment of the record is packed: soon after the next one was begun. Done by the thread of `upkeep.rs`, a
//! little in each of its turns. It knows nothing of bytes.

use std::sync::Arc;

use super::upkeep::{free_bytes, reserve_bytes};
use super::{Service, ServiceError};
use crate::domain::time::UnixMillis;
use crate::journal::{DiskStorage, JournalError, PackedSegment, Packing};

/// Blocks packed in one turn: 512 KiB, some 20 ms of work.
const PACK_AT_ONCE: usize = 2;

/// The pause between two looks for a finished segment, in ms.
const LOOK_EVERY_MS: i64 = 60_000;

/// The segment being packed, and when the last one was looked for.
#[derive(Debug, Default)]
pub(super) struct Packed {
    packing: Option<Packing>,
    looked_at: Option<UnixMillis>,
}

impl Service {
    /// Goes on packing, or begins to where a segment is finished. What fails is logged and tried again later: the segment is
    /// whole in any case.
    pub(super) fn pack_when_due(&self) {
        let mut packed = self.packed.lock();
        if let Err(error) = self.pack(&mut packed) {
            packed.packing = None;
            Packing::discard(&self.journal_dir(), &DiskStorage);
            tracing::warn!(%error, "a segment of the record could not be packed; it stays as it is");
        }
    }

    /// Gives up the segment being packed, and the space it takes.
    pub(super) fn abandon_packing(&self) {
        if self.packed.lock().packing.take().is_some() {
            Packing::discard(&self.journal_dir(), &DiskStorage);
        }
    }

    fn pack(&self, packed: &mut Packed) -> Result<(), ServiceError> {
        let Some(mut packing) = packed.packing.take() else {
            let now = self.clock.now();
            if packed.looked_at.is_none_or(|at| now.0.saturating_sub(at.0) >= LOOK_EVERY_MS) {
                packed.looked_at = Some(now);
                packed.packing = self.begin_packing()?;
            }
            return Ok(());
        };
        if packing.go_on(PACK_AT_ONCE)? {
            packed.packing = Some(packing);
            return Ok(());
        }
        self.shut_out_earlier_programs()?;
        if let Some(PackedSegment { name, before, after }) = packing.finish()? {
            self.reader.refresh()?;
            tracing::info!(name, before, after, "a segment of the record was packed");
        }
        // There may be another.
        packed.looked_at = None;
        Ok(())
    }

    fn begin_packing(&self) -> Result<Option<Packing>, JournalError> {
        let dir = &self.about.data_dir;
        let packing = Packing::begin(&self.journal_dir(), Arc::new(DiskStorage))?;
        let has_room =
            |packing: &Packing| free_bytes(dir).is_none_or(|free| free > packing.bytes() + reserve_bytes(dir));
        Ok(packing.filter(has_room))
    }
}
