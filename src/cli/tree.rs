//! A tree drawn with lines, for people. It refuses to know what hangs on it.

/// Something with what hangs below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    /// Its text; the second line and those after it stand beneath the first.
    pub(super) lines: Vec<String>,
    /// What hangs below it.
    pub(super) below: Vec<Branch>,
}

/// The branches beneath one another, each line ended.
pub(super) fn drawn(branches: &[Branch]) -> String {
    let mut text = String::new();
    draw(branches, "", &mut text);
    text
}

fn draw(branches: &[Branch], before: &str, text: &mut String) {
    for (at, branch) in branches.iter().enumerate() {
        let last = at + 1 == branches.len();
        let beneath = format!("{before}{}", if last { "   " } else { "│  " });
        let more = if branch.below.is_empty() { "" } else { "│  " };
        for (line, content) in branch.lines.iter().enumerate() {
            match line {
                0 => *text += &format!("{before}{}{content}\n", if last { "└─ " } else { "├─ " }),
                _ => *text += &format!("{beneath}{more}{content}\n"),
            }
        }
        draw(&branch.below, &beneath, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(lines: &[&str], below: Vec<Branch>) -> Branch {
        Branch { lines: lines.iter().map(|line| (*line).to_owned()).collect(), below }
    }

    #[test]
    fn lines_lead_from_each_branch_to_what_is_below() {
        let tree = [
            branch(&["a", "more of a"], vec![branch(&["a1", "more of a1"], vec![]), branch(&["a2"], vec![])]),
            branch(&["b", "more of b"], vec![branch(&["b1"], vec![branch(&["b11"], vec![])])]),
        ];
        let expected = "├─ a\n│  │  more of a\n│  ├─ a1\n│  │  more of a1\n│  └─ a2\n\
                        └─ b\n   │  more of b\n   └─ b1\n      └─ b11\n";
        assert_eq!(drawn(&tree), expected);
    }
}
