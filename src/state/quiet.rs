//! sled reports damage by panicking. Here such a panic becomes an error and prints nothing; panics of the program itself
//! go on as ever.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// The last handle of something that may panic when it goes, as sled does when it cannot sync its file once more. It goes
/// quietly: whoever lets go of a state that failed knows already that it is lost. To be declared behind every other handle.
#[derive(Debug)]
pub(super) struct Last<T>(Option<T>);

impl<T> Last<T> {
    /// Keeps `handle` until everybody else has let go.
    pub(super) fn of(handle: T) -> Self {
        Self(Some(handle))
    }

    /// Lets go.
    ///
    /// # Errors
    /// The message of the panic it went with.
    pub(super) fn let_go(mut self) -> Result<(), String> {
        self.drop_now()
    }

    fn drop_now(&mut self) -> Result<(), String> {
        let handle = self.0.take();
        catch(|| drop(handle))
    }
}

impl<T> Drop for Last<T> {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = self.drop_now();
    }
}

/// Runs `work`; a panic inside becomes its message.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(install);
    let before = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        format!("sled panicked: {}", text.as_deref().unwrap_or("without a message"))
    })
}

fn install() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let sled = std::thread::current().name().is_some_and(|name| name.starts_with("sled-io-"));
        if !sled && !QUIET.get() {
            before(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it goes.
    struct Unruly;

    impl Drop for Unruly {
        fn drop(&mut self) {
            panic!("no sync")
        }
    }

    #[test]
    fn the_last_handle_goes_quietly_and_says_how_when_asked() {
        drop(Last::of(Unruly));
        assert_eq!(Last::of(Unruly).let_go(), Err("sled panicked: no sync".to_owned()));
        assert_eq!(Last::of(7).let_go(), Ok(()));
    }

    #[test]
    fn a_panic_inside_becomes_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        let message = catch(|| -> u8 { panic!("torn page {}", 3) });
        assert_eq!(message, Err("sled panicked: torn page 3".to_owned()));
        assert!(!QUIET.get());
    }
}
