//! Which of the flags that are taken everywhere each verb shows in its help: those it reads. It refuses to know what a
//! flag means; a hidden one is still taken.

use clap::{Arg, Command, CommandFactory as _};

use super::args::Cli;

/// Verbs with the flags, of those taken everywhere, that they do not read.
const UNREAD: &[(&str, &[&str])] = &[
    ("serve", &["format"]),
    ("insights", &["data_dir", "models"]),
    ("receipt", &["data_dir", "models"]),
    ("goals", &["data_dir", "models"]),
    ("budgets", &["data_dir", "models"]),
    ("alerts", &["data_dir", "models"]),
    ("audit", &["data_dir", "models"]),
    ("whatif", &["data_dir", "models"]),
    ("simulate", &["listen", "data_dir", "config", "set"]),
    ("replay", &["listen", "data_dir", "config", "set"]),
    ("models", &["listen", "data_dir"]),
    ("config", &[]),
    ("verify", &["listen", "models"]),
    ("compact", &["listen", "models"]),
    ("export", &["listen", "models", "format"]),
    ("healthcheck", &["data_dir", "models", "format"]),
];

/// The command line as it is parsed and explained.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let shared: Vec<Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    UNREAD.iter().fold(command, |command, (verb, unread)| {
        let hidden = shared.iter().filter(|arg| unread.contains(&arg.get_id().as_str()));
        // An argument of its own with the same name stands before the one handed down.
        let hidden: Vec<Arg> = hidden.map(|arg| arg.clone().hide(true)).collect();
        command.mut_subcommand(verb, |verb| verb.args(hidden))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(verb: &str) -> String {
        let mut command = command();
        command.build();
        command.find_subcommand_mut(verb).expect("a verb").render_long_help().to_string()
    }

    #[test]
    fn a_verb_explains_the_flags_it_reads_and_no_other() {
        command().debug_assert();
        let known: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        for (verb, unread) in UNREAD {
            assert!(known.iter().any(|k| k == verb), "{verb}");
            let help = help(verb);
            for flag in ["listen", "data_dir", "models", "config", "set", "format"] {
                let shown = help.contains(&format!("--{} <", flag.replace('_', "-")));
                assert_eq!(shown, !unread.contains(&flag), "{verb} --{flag}: {help}");
            }
        }
    }

    /// The words of a line, as a shell takes them apart.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate().map(|(n, part)| (n % 2 == 1, part));
        let take = |(quoted, part): (bool, &str)| match quoted {
            true => vec![part.to_owned()],
            false => part.split_whitespace().map(str::to_owned).collect(),
        };
        quoted.flat_map(take).collect()
    }

    #[test]
    fn examples_are_taken_as_they_are_printed() {
        for verb in ["simulate", "replay"] {
            let help = help(verb);
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  oddsmaker ")).collect();
            assert!(examples.len() >= 3, "{verb}: {help}");
            for example in examples {
                assert!(command().try_get_matches_from(words(example)).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn flags_that_are_not_shown_are_taken_all_the_same() {
        use clap::FromArgMatches as _;
        let typed =
            command().try_get_matches_from(["oddsmaker", "--format", "csv", "verify", "--listen", "x"]).unwrap();
        let typed = Cli::from_arg_matches(&typed).unwrap();
        assert_eq!((typed.format, typed.settings.listen.as_deref()), (super::super::args::Format::Csv, Some("x")));
        let typed = command().try_get_matches_from(["oddsmaker", "models", "list", "--data-dir", "d"]).unwrap();
        assert_eq!(Cli::from_arg_matches(&typed).unwrap().settings.data_dir.as_deref(), Some("d"));
    }
}
