//! `serve`: hands settings and catalogue to the daemon and tells when it answers. It refuses to know how it serves.

use super::args::SettingFlags;
use super::failure::Failure;
use super::{banner, logging, setup};
use crate::catalogue_source::{self, Loaded};
use crate::daemon::{self, LoadedCatalog};
use crate::service::CatalogRead;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Bad configuration, or what kept it from starting or from stopping in order.
pub(super) fn run(flags: &SettingFlags) -> Result<(), Failure> {
    let settings = setup::settings(flags)?.settings;
    let Loaded { catalog, text, from, warnings } = setup::catalogue(&settings)?;
    logging::start(&settings.log).map_err(Failure::failed)?;
    for warning in &warnings {
        tracing::warn!(place = %warning.0.origin, key = warning.0.key, "{}", warning.0.message);
    }
    let people = logging::for_people(&settings.log);
    let path = settings.models.path.clone();
    let reload = move || reread(path.as_deref());
    let loaded = LoadedCatalog { catalog: catalog.clone(), text, origin: from };
    let ended = daemon::run(&settings, &loaded, reload, |ready| banner::show(ready, &catalog, people));
    ended.map_err(|error| if people { Failure::failed(error) } else { logged(&error) })
}

/// A failure as a log line, so that whoever collects them need not read two forms.
fn logged(error: &anyhow::Error) -> Failure {
    tracing::error!("{error:#}");
    Failure::Logged
}

fn reread(path: Option<&std::path::Path>) -> CatalogRead {
    let loaded = catalogue_source::load(path).map_err(|error| error.one_line())?;
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    Ok((loaded.catalog, loaded.text, warnings))
}
