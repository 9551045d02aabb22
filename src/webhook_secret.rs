//! The secret that posted alerts are signed with: from the file `alerts.webhook_secret_file` names, else from the
//! variable `ODDSMAKER_WEBHOOK_SECRET`. It never stands in a settings file and is never shown. It refuses to know what
//! is signed.

use std::fmt;
use std::path::Path;

/// The variable that is looked at where no file is named.
pub const VARIABLE: &str = "ODDSMAKER_WEBHOOK_SECRET";

/// Shortest secret, in bytes.
const BYTES_MIN: usize = 16;

/// A secret; printing it prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    /// Its bytes; at least 16.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The secret in `file`, else the one in `variable` (the value of [`VARIABLE`]); `None`: there is neither, posts are
/// not signed. White space at the end does not belong to it, so that a line of a file will do.
///
/// # Errors
/// A sentence without the secret: the file cannot be read, or the secret is shorter than 16 bytes.
pub fn load(file: Option<&Path>, variable: Option<&str>) -> Result<Option<WebhookSecret>, String> {
    let (mut bytes, from) = match (file, variable) {
        (Some(path), _) => {
            let from = path.display().to_string();
            (std::fs::read(path).map_err(|e| format!("cannot read the webhook secret {from}: {e}"))?, from)
        }
        (None, Some(value)) => (value.as_bytes().to_vec(), VARIABLE.to_owned()),
        (None, None) => return Ok(None),
    };
    bytes.truncate(bytes.trim_ascii_end().len());
    if bytes.len() < BYTES_MIN {
        return Err(format!("the webhook secret of {from} has {} bytes; at least {BYTES_MIN} are needed", bytes.len()));
    }
    Ok(Some(WebhookSecret(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_line_of_the_file_or_the_variable_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let secret = load(Some(&file), Some("another secret, just as long")).unwrap().unwrap();
        assert_eq!(secret.bytes(), b"0123456789abcdef", "the file that somebody named wins");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        let of_variable = load(None, Some("a secret of twenty")).unwrap().unwrap();
        assert_eq!(of_variable.bytes(), b"a secret of twenty");
        assert_eq!(load(None, None), Ok(None));
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_repeated() {
        let short = load(None, Some("0123456789abcde \n")).unwrap_err();
        assert_eq!(short, "the webhook secret of ODDSMAKER_WEBHOOK_SECRET has 15 bytes; at least 16 are needed");
        assert!(load(None, Some("")).is_err(), "a variable that is set and empty is a mistake, not a wish");
        let missing = load(Some(Path::new("no-such-file")), None).unwrap_err();
        assert!(missing.starts_with("cannot read the webhook secret no-such-file: "), "{missing}");
    }
}
