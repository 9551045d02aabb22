//! sled reports damage by panicking. Here such a panic becomes an error and prints nothing; panics of the program itself
//! go on as ever.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

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

    #[test]
    fn a_panic_inside_becomes_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        let message = catch(|| -> u8 { panic!("torn page {}", 3) });
        assert_eq!(message, Err("sled panicked: torn page 3".to_owned()));
        assert!(!QUIET.get());
    }
}
