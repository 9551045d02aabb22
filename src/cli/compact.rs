//! `compact`: writes the index of a stopped daemon anew, without the room that its file holds on to. The record is not
//! touched; what the index holds is the same afterwards.

use std::io::Write;

use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::listing::{Column, Listing};
use super::{offline, setup};
use crate::state::SledStore;

const COLUMNS: &[Column] = &[
    Column::number("records_bytes", "RECORDS, BYTES"),
    Column::number("before_bytes", "FILES BEFORE"),
    Column::number("after_bytes", "FILES AFTER"),
];

/// Writes the index anew and prints what it took before and takes now.
///
/// # Errors
/// A daemon is using the directory; it is none, or a newer program's; there is no index, or no room for a second one.
pub(super) fn run(flags: &SettingFlags, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let data = offline::open(&setup::settings(flags)?.settings.ledger.data_dir)?;
    let _held = data.hold()?;
    if !data.state.is_dir() {
        return Err(Failure::Failed("there is no index yet; the next start builds it from the record".to_owned()));
    }
    let opened = SledStore::open(&data.state).map_err(Failure::failed)?;
    if let Some((why, aside)) = opened.set_aside {
        let aside = aside.display();
        let say = format!("{why}; it lies in {aside} now, and the next start builds it anew from the record");
        return Err(Failure::Failed(say));
    }
    let (_, before) = opened.store.weight().map_err(Failure::failed)?;
    let store = opened.store.compacted().map_err(Failure::failed)?;
    let (records, after) = store.weight().map_err(Failure::failed)?;
    store.close().map_err(Failure::failed)?;
    let mut listing = Listing::new(COLUMNS);
    listing.push(vec![records.into(), before.into(), after.into()]);
    listing.print(format, out)?;
    Ok(())
}
