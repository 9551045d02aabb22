//! stub
use super::args::{Format, SettingFlags};
use super::failure::Failure;
use super::{offline, setup};
use std::io::Write;
/// stub
pub(super) fn run(flags: &SettingFlags, _format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let data = offline::open(&setup::settings(flags)?.settings.ledger.data_dir)?;
    let _held = data.hold()?;
    let copy = offline::Scratch::copy_of(&data.state)?;
    Ok(writeln!(out, "{}", copy.path().display())?)
}
