//! Where the catalogue comes from: the file that was named, else models.toml of the working folder, else the one built
//! in. The daemon, its reload and the offline verbs all read it here. It refuses to know what stands in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Warning, parse_catalogue};
use crate::domain::catalog::Catalog;

/// The catalogue shipped with the program.
const BUILT_IN: &str = include_str!("../models.toml");

/// What its errors call it.
const BUILT_IN_NAME: &str = "the built-in models.toml";

/// The file looked for in the working folder.
const WORKING_FOLDER_FILE: &str = "models.toml";

/// A catalogue that was read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The catalogue.
    pub catalog: Catalog,
    /// The text it was read from.
    pub text: String,
    /// Where that text is: a file as it was named, or "the built-in models.toml".
    pub from: String,
    /// What is probably not meant, in file order.
    pub warnings: Vec<Warning>,
}

/// Why there is no catalogue. Displayed, it says everything a person needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file cannot be read.
    #[error("cannot read the catalogue {}: {source}", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// The refusal of the file system.
        source: io::Error,
    },
    /// Everything that is wrong in it, in file order.
    #[error("{}", AllOf(.0))]
    Invalid(Vec<ConfigError>),
}

impl CatalogueError {
    /// The same without pictures, on one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Invalid(errors) => {
                let told = errors.iter().take(TOLD_MAX).map(|error| error.0.one_line());
                let more = errors.len().saturating_sub(TOLD_MAX);
                told.chain((more > 0).then(|| format!("and {more} more"))).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// The most errors a person is told at once: a file of another kind has one on each of its lines.
const TOLD_MAX: usize = 20;

/// Errors as a person reads them: a blank line between two, and of very many the first with how many follow.
pub(crate) struct AllOf<'e>(pub(crate) &'e [ConfigError]);

impl fmt::Display for AllOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.iter().take(TOLD_MAX).enumerate();
        told.try_for_each(|(i, error)| write!(f, "{}{error}", if i > 0 { "\n\n" } else { "" }))?;
        match self.0.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

/// The catalogue of the file `path`; without a path that of models.toml in the working folder; without that file the
/// one built in.
///
/// # Errors
/// The file cannot be read, or is no valid catalogue.
pub fn load(path: Option<&Path>) -> Result<Loaded, CatalogueError> {
    load_in(path, Path::new(""))
}

/// As [`load`], with `folder` as the working folder.
fn load_in(path: Option<&Path>, folder: &Path) -> Result<Loaded, CatalogueError> {
    let file = path.map_or_else(|| folder.join(WORKING_FOLDER_FILE), Path::to_owned);
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(text, file.display().to_string()),
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            parse(BUILT_IN.to_owned(), BUILT_IN_NAME.to_owned())
        }
        Err(source) => Err(CatalogueError::Unreadable { path: file, source }),
    }
}

fn parse(text: String, from: String) -> Result<Loaded, CatalogueError> {
    let (catalog, warnings) = parse_catalogue(&text, &from).map_err(CatalogueError::Invalid)?;
    Ok(Loaded { catalog, text, from, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "schema = 1\n[[model]]\nid = \"a/one\"\nsource = \"test\"\n[[model.price]]\nfrom = 2024-01-01\n\
                         unit = \"usd_per_mtok\"\ninput = \"1\"\noutput = \"2\"\n[[task]]\nid = \"t\"\n\
                         candidates = [\"a/one\"]\n";

    #[test]
    fn the_named_file_wins_then_the_folder_then_the_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let built_in = load_in(None, folder.path()).unwrap();
        assert_eq!(built_in.from, "the built-in models.toml");
        assert_eq!(built_in.text, include_str!("../models.toml"));
        let working = folder.path().join("models.toml");
        std::fs::write(&working, SMALL).unwrap();
        let loaded = load_in(None, folder.path()).unwrap();
        assert_eq!((loaded.from, loaded.catalog.models().len()), (working.display().to_string(), 1));
        let other = folder.path().join("other.toml");
        std::fs::write(&other, SMALL.replace("a/one", "a/two")).unwrap();
        assert_eq!(&*load_in(Some(&other), folder.path()).unwrap().catalog.models()[0].id, "a/two");
        let missing = load_in(Some(&folder.path().join("none.toml")), folder.path()).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read the catalogue ") && missing.contains("none.toml"), "{missing}");
    }

    #[test]
    fn of_very_many_errors_the_first_are_told_and_the_others_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.toml");
        std::fs::write(&file, "schema = 1\nunknown = 1\n".to_owned() + &"no toml at all\n".repeat(1_000)).unwrap();
        let refused = load(Some(&file)).unwrap_err();
        let CatalogueError::Invalid(errors) = &refused else { panic!("{refused}") };
        let more = format!("and {} more", errors.len() - 20);
        assert!(errors.len() > 900, "{}", errors.len());
        let shown = refused.to_string();
        assert_eq!(shown.matches("error: ").count(), 20);
        assert!(shown.ends_with(&format!("\n\n{more}")), "{shown}");
        assert!(refused.one_line().ends_with(&format!("; {more}")));
    }

    #[test]
    fn every_error_is_shown_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.toml");
        std::fs::write(&file, SMALL.replace("output", "outptu").replace("candidates", "candidtes")).unwrap();
        let shown = load(Some(&file)).unwrap_err().to_string();
        let place = |line: u32| format!("--> {}:{line}:", file.display());
        assert!(shown.contains(&place(9)) && shown.contains(&place(12)), "{shown}");
        assert!(shown.contains("did you mean `output`?"), "{shown}");
        let line = load(Some(&file)).unwrap_err().one_line();
        assert!(!line.contains('\n') && !line.contains("-->") && line.contains("did you mean `output`?"), "{line}");
        assert!(line.starts_with(&format!("{}:5:1: ", file.display())), "{line}");
    }
}
