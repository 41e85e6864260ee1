//! Policy files as a revision of a git repository has them.

use super::list::is_shown_policy;
use super::{LARGEST, Unreadable};
use enforcer_policy::source::Source;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

/// `git:REV:PATH`: a path of the repository that the working directory is in, as of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Whatever git takes for one: `HEAD~1`, a branch, a tag, a hash.
    pub(crate) revision: String,
    /// From the top of the repository, or from the working directory where it begins with `./` or `../`.
    pub(crate) path: String,
}

impl FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("git:").ok_or_else(|| format!("`{text}` doesn't begin with `git:`"))?;
        match rest.split_once(':') {
            // An option in place of a revision would be obeyed by git.
            Some((revision, path))
                if !revision.is_empty() && !revision.starts_with('-') && !path.is_empty() =>
            {
                Ok(Self { revision: revision.to_owned(), path: path.to_owned() })
            }
            _ => Err(format!("`{text}` isn't `git:REV:PATH`, such as `git:HEAD~1:policies`")),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git:{}:{}", self.revision, self.path)
    }
}

impl Revision {
    /// Its policy files in the order in which a directory's are read. `directory` is where git looks for the repository.
    pub(crate) fn read(&self, directory: &Path) -> Result<Vec<Source>, Unreadable> {
        let object = format!("{}:{}", self.revision, self.path.trim_end_matches('/'));
        let kind = self.git(directory, &["cat-file", "-t", &object])?;
        if kind.trim_ascii() == b"blob" {
            return Ok(vec![self.file(directory, &object, &self.to_string())?]);
        }
        // NUL between names: they may hold anything else.
        let listing = self.git(directory, &["ls-tree", "-r", "-z", "--name-only", &object])?;
        let mut names: Vec<&str> = listing
            .split(|byte| *byte == 0)
            .filter_map(|name| std::str::from_utf8(name).ok())
            .filter(|name| is_shown_policy(Path::new(name)))
            .collect();
        // As directories are read: name by name, level by level.
        names.sort_by(|a, b| a.split('/').cmp(b.split('/')));
        let top = self.path.trim_end_matches('/');
        let read = |name: &&str| self.file(directory, &format!("{object}/{name}"), &format!("{top}/{name}"));
        names.iter().map(read).collect()
    }

    fn file(&self, directory: &Path, object: &str, name: &str) -> Result<Source, Unreadable> {
        let bytes = self.git(directory, &["cat-file", "blob", object])?;
        let name =
            if name.starts_with("git:") { name.to_owned() } else { format!("git:{}:{name}", self.revision) };
        if bytes.len() as u64 > LARGEST {
            return Err(self.unreadable(format_args!("`{name}` has more than {LARGEST} bytes")));
        }
        let text =
            String::from_utf8(bytes).map_err(|_| self.unreadable(format_args!("`{name}` isn't UTF-8")))?;
        Ok(Source::new(name, text))
    }

    fn git(&self, directory: &Path, arguments: &[&str]) -> Result<Vec<u8>, Unreadable> {
        let mut command = Command::new("git");
        command.arg("-C").arg(directory).args(arguments).stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| self.unreadable(format_args!("could not run `git`: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("git said nothing");
        Err(self.unreadable(format_args!(
            "{}",
            said.trim_start_matches("fatal: ").replace(char::is_control, " ")
        )))
    }

    fn unreadable(&self, why: fmt::Arguments<'_>) -> Unreadable {
        Unreadable { path: PathBuf::from(self.to_string()), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn git(directory: &Path, arguments: &[&str]) {
        let identity =
            ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"];
        let done =
            Command::new("git").arg("-C").arg(directory).args(identity).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn a_revision_is_read_as_its_directory_was() {
        let place = tempfile::tempdir().unwrap();
        let at = place.path();
        fs::create_dir_all(at.join("policies/b")).unwrap();
        for (name, text) in [
            ("policies/b.yaml", "b: 1"),
            ("policies/b/a.yml", "ba: 1"),
            ("policies/.x.yaml", "x"),
            ("policies/n", "n"),
        ] {
            fs::write(at.join(name), text).unwrap();
        }
        git(at, &["init", "-q"]);
        git(at, &["add", "-A"]);
        git(at, &["commit", "-qm", "one"]);
        fs::write(at.join("policies/b.yaml"), "b: 2").unwrap();
        git(at, &["commit", "-qam", "two"]);

        let read = |text: &str| text.parse::<Revision>().unwrap().read(at);
        let old = read("git:HEAD~1:policies/").unwrap();
        let names: Vec<&str> = old.iter().map(|source| &*source.name).collect();
        assert_eq!(names, ["git:HEAD~1:policies/b/a.yml", "git:HEAD~1:policies/b.yaml"]);
        assert_eq!(&*old[1].text, "b: 1");
        assert_eq!(&*read("git:main:policies/b.yaml").unwrap()[0].text, "b: 2");
        let error = read("git:nowhere:policies").unwrap_err().to_string();
        assert!(error.contains("git:nowhere:policies"), "{error}");
    }

    #[test]
    fn what_is_no_revision_is_refused() {
        for text in ["git:", "git:HEAD", "git::policies", "git:--output=x:y", "git:HEAD:", "HEAD:x"] {
            assert!(text.parse::<Revision>().is_err(), "{text}");
        }
    }
}
