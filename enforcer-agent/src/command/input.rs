//! Policy files named on the command line.

use super::Failure;
use crate::files::read;
use crate::output::note;
use enforcer_policy::document::{ParsedFile, parse_file};
use enforcer_policy::source::Source;
use std::path::PathBuf;

/// The text of every policy file that these paths mean. Unreadable ones are all named.
pub(super) fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let sources = read(paths).map_err(|unreadable| {
        let (last, others) =
            unreadable.split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
        for other in others {
            note(format_args!("error: {other}"));
        }
        Failure::from(anyhow::Error::msg(last.map(ToString::to_string).unwrap_or_default()))
    })?;
    if sources.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        let failure = Failure::from(anyhow::anyhow!("there is no policy file in {}", named.join(", ")));
        return Err(failure.help("directories are searched for names that end in `.yaml` or `.yml`"));
    }
    Ok(sources)
}

/// The same, parsed.
pub(super) fn parsed(paths: &[PathBuf]) -> Result<Vec<ParsedFile>, Failure> {
    Ok(sources(paths)?.iter().map(parse_file).collect())
}
