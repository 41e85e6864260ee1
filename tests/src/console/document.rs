//! A document's steps, and the document with other outputs.

use super::compare::{ELLIPSIS, compare, lines_match};

/// What a reader does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Saves a file.
    File {
        /// Its name.
        name: String,
        /// Its text.
        text: String,
    },
    /// Types a command.
    Command {
        /// Where it stands, from 1.
        line: usize,
        /// What is typed.
        command: String,
        /// What is shown after it.
        output: Vec<String>,
    },
}

/// A Markdown document.
#[derive(Debug)]
pub struct Document {
    lines: Vec<String>,
    steps: Vec<Step>,
}

impl Document {
    /// Finds the steps.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut steps = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let block = block_end(&lines, at);
            match (lines[at].as_str(), block) {
                ("```console", Some(end)) => commands(&lines, at + 1..end, &mut steps),
                ("```yaml", Some(end)) => steps.extend(file(&lines[at + 1..end])),
                _ => {}
            }
            at = block.map_or(at, |end| end) + 1;
        }
        Self { lines, steps }
    }

    /// In the order in which they are taken.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The text with these outputs, one for each command. What still holds stays as it is written, and what was left out (`…`) stays
    /// left out where the lines around it are still there.
    #[must_use]
    pub fn with_outputs(&self, outputs: &[Vec<String>]) -> String {
        let mut text: Vec<String> = Vec::new();
        let mut at = 0;
        let commands = self.steps.iter().filter_map(|step| match step {
            Step::Command { line, output, .. } => Some((*line, output)),
            Step::File { .. } => None,
        });
        for ((line, shown), came) in commands.zip(outputs) {
            text.extend_from_slice(&self.lines[at..line]);
            at = line + shown.len();
            text.extend(if compare(shown, came).is_ok() { shown.clone() } else { shorten(shown, came) });
        }
        text.extend_from_slice(&self.lines[at..]);
        text.join("\n") + "\n"
    }
}

/// The line that closes the fenced block that begins here.
fn block_end(lines: &[String], at: usize) -> Option<usize> {
    lines[at].starts_with("```").then_some(())?;
    (at + 1..lines.len()).find(|line| lines[*line] == "```")
}

fn commands(lines: &[String], range: std::ops::Range<usize>, steps: &mut Vec<Step>) {
    for at in range {
        let text = &lines[at];
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step::Command { line: at + 1, command: command.to_owned(), output: Vec::new() });
        } else if let Some(Step::Command { output, .. }) = steps.last_mut() {
            output.push(text.clone());
        }
    }
}

/// A block that begins with its name is a file.
fn file(lines: &[String]) -> Option<Step> {
    let name = lines.first()?.strip_prefix("# ")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (plain && name.ends_with(".yaml"))
        .then(|| Step::File { name: name.to_owned(), text: lines.join("\n") + "\n" })
}

/// `came`, without what `shown` left out.
fn shorten(shown: &[String], came: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    for (index, line) in shown.iter().enumerate() {
        if line != ELLIPSIS {
            continue;
        }
        // From the line that stood before the gap to the one that stood behind it.
        let before = shown[..index].iter().rfind(|line| *line != ELLIPSIS);
        let from = match before {
            None => Some(at),
            Some(before) => {
                came[at..].iter().position(|line| lines_match(before, line)).map(|found| at + found + 1)
            }
        };
        let to = match shown.get(index + 1) {
            None => Some(came.len()),
            Some(after) => from.and_then(|from| {
                came[from..].iter().position(|line| lines_match(after, line)).map(|found| from + found)
            }),
        };
        if let (Some(from), Some(to)) = (from, to) {
            out.extend_from_slice(&came[at..from]);
            out.push(ELLIPSIS.to_owned());
            at = to;
        }
    }
    out.extend_from_slice(&came[at..]);
    // Lines whose rest was left out.
    for line in &mut out {
        let begun = |begun: &&String| {
            begun.len() > ELLIPSIS.len() && begun.ends_with(ELLIPSIS) && lines_match(begun, line)
        };
        if let Some(begun) = shown.iter().find(begun) {
            line.clone_from(begun);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Hello.\n\n```yaml\n# a.yaml\nkind: A\n```\n\n```yaml\nnot: saved\n```\n\n```console\n$ one\n1\n…\n9\n$ two\n```\nEnd.\n";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn steps_come_in_order() {
        let command = |line, command: &str, output: &str| Step::Command {
            line,
            command: command.to_owned(),
            output: lines(output),
        };
        let file = Step::File { name: "a.yaml".to_owned(), text: "# a.yaml\nkind: A\n".to_owned() };
        assert_eq!(
            Document::parse(TEXT).steps(),
            [file, command(13, "one", "1\n…\n9"), command(17, "two", "")]
        );
    }

    #[test]
    fn what_still_holds_is_kept_and_what_does_not_is_replaced() {
        let document = Document::parse(TEXT);
        let same = [lines("1\n2\n9"), Vec::new()];
        assert_eq!(document.with_outputs(&same), TEXT);
        let other = [lines("1\n2\n9\nmore"), lines("said")];
        assert_eq!(
            document.with_outputs(&other),
            TEXT.replace("9\n$ two\n", "9\nmore\n$ two\nsaid\n"),
            "what was left out stays so"
        );
        let begun = TEXT.replace("9\n", "nine …\n");
        let other = [lines("1\n9\nnine and so on\nmore"), Vec::new()];
        assert_eq!(
            Document::parse(&begun).with_outputs(&other),
            begun.replace("nine …\n", "nine …\nmore\n"),
            "and so does the rest of a line"
        );
        let gone = [lines("5"), Vec::new()];
        assert_eq!(document.with_outputs(&gone), TEXT.replace("1\n…\n9\n", "5\n"));
    }
}
