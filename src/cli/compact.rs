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
    if format == Format::Table {
        writeln!(out, "\n{}", sentence(before, after))?;
    }
    Ok(())
}

/// What was done, for people; sizes of the files in bytes.
fn sentence(before: u64, after: u64) -> String {
    let (was, is) = (size(before), size(after));
    match before.saturating_sub(after) {
        0 => format!(
            "Written anew: the index took {was} and takes {is}. There was nothing to gain; the record is as it was."
        ),
        less => {
            format!("Written anew: the index took {was} and takes {is}, {} less. The record is as it was.", size(less))
        }
    }
}

/// Bytes in the largest unit that leaves a whole number above 0, to one digit.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_with_sizes_also_where_nothing_was_gained() {
        let gained =
            "Written anew: the index took 96.0 MiB and takes 512.0 KiB, 95.5 MiB less. The record is as it was.";
        assert_eq!(sentence(96 << 20, 512 << 10), gained);
        let small = "Written anew: the index took 900 bytes and takes 1.5 KiB. There was nothing to gain; the record is as it was.";
        assert_eq!(sentence(900, 1_536), small);
    }
}
