//! `enforcer doctor`.

use super::Failure;
use super::settings::SettingsArgs;
use crate::doctor;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::protocol::{DoctorReport, Word};

/// Look whether this machine is fit for the enforcer, and at what goes around it
///
/// Changes nothing. Each line says what was found; below it stands how it is mended. Without root, what only root may see is `unknown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer doctor\n  enforcer doctor -o json\n\n\
                        Exit codes: 0 nothing has to be mended; 1 something has; 2 something couldn't be looked at.")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let settings = args.settings.read().map_err(|error| error.to_string());
    let report = doctor::examine(settings);
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => out.line(told(&report, out.colour))?,
        Format::Json | Format::Jsonl => out.document(&report)?,
    }
    out.flush()?;
    Ok(match report.state {
        Word::Ok | Word::Note => Exit::Yes,
        Word::Missing => Exit::No,
        Word::Unknown => Exit::Unanswered,
    })
}

/// The report for people: what is to be mended comes last, where the eye is.
fn told(report: &DoctorReport, colour: bool) -> String {
    let rank = |word| match word {
        Word::Ok => 0,
        Word::Note => 1,
        Word::Unknown => 2,
        Word::Missing => 3,
    };
    let mut checks: Vec<_> = report.checks.iter().collect();
    checks.sort_by_key(|check| rank(check.word));
    let wide = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let word = format!("{:7}", check.word.word());
        let word = match check.word {
            Word::Missing if colour => format!("\u{1b}[1;31m{word}\u{1b}[0m"),
            Word::Unknown if colour => format!("\u{1b}[1;33m{word}\u{1b}[0m"),
            Word::Note if colour => format!("\u{1b}[33m{word}\u{1b}[0m"),
            Word::Ok if colour => format!("\u{1b}[32m{word}\u{1b}[0m"),
            _ => word,
        };
        text += &format!("{word}  {:wide$}  {}\n", check.check, check.found);
        for line in &check.each {
            text += &format!("{:9}{:wide$}    {line}\n", "", "");
        }
        if let Some(mend) = &check.mend {
            text += &format!("{:9}{:wide$}  mend: {mend}\n", "", "");
        }
    }
    let count = |word| report.checks.iter().filter(|check| check.word == word).count();
    let summary = match report.state {
        Word::Ok | Word::Note => "fit",
        Word::Missing => "not fit",
        Word::Unknown => "can't tell",
    };
    text + &format!(
        "\n{summary}: {} ok, {} noted, {} unknown, {} to be mended",
        count(Word::Ok),
        count(Word::Note),
        count(Word::Unknown),
        count(Word::Missing)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::DoctorCheck;

    #[test]
    fn a_report_is_told_to_the_letter() {
        let report = DoctorReport::of(vec![
            DoctorCheck::missing(
                "bpffs",
                "`/sys/fs/bpf/enforcer` isn't on a bpf file system",
                "mount -t bpf bpf /sys/fs/bpf",
            ),
            DoctorCheck::ok("kernel", "6.12.1 on x86_64: hooks are tcx links"),
            DoctorCheck::note("nat", "addresses may be rewritten").each(vec!["nftables: ip shop".to_owned()]),
            DoctorCheck::unknown("hooks", "cannot look at the programs on devices").mend("run it as root"),
        ]);
        let expected = "\
ok       kernel  6.12.1 on x86_64: hooks are tcx links
note     nat     addresses may be rewritten
                   nftables: ip shop
unknown  hooks   cannot look at the programs on devices
                 mend: run it as root
missing  bpffs   `/sys/fs/bpf/enforcer` isn't on a bpf file system
                 mend: mount -t bpf bpf /sys/fs/bpf

not fit: 1 ok, 1 noted, 1 unknown, 1 to be mended";
        assert_eq!(told(&report, false), expected);
        assert_eq!(report.state, Word::Missing);
        assert!(told(&report, true).contains("\u{1b}[1;31mmissing\u{1b}[0m  bpffs"));
    }

    #[test]
    fn what_is_unknown_is_worse_than_a_note() {
        let state = |checks: Vec<DoctorCheck>| DoctorReport::of(checks).state;
        assert_eq!(state(vec![DoctorCheck::ok("a", "b"), DoctorCheck::note("a", "b")]), Word::Ok);
        assert_eq!(state(vec![DoctorCheck::note("a", "b"), DoctorCheck::unknown("a", "b")]), Word::Unknown);
    }
}
