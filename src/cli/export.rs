//! stub
use super::args::{ExportArgs, SettingFlags};
use super::failure::Failure;
use super::{offline, setup};
use std::io::Write;
/// stub
pub(super) fn run(flags: &SettingFlags, args: &ExportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let _data = offline::open(&setup::settings(flags)?.settings.ledger.data_dir)?;
    Ok(writeln!(out, "{}", args.from_seq)?)
}
