//! Filters on the command line. `--not` turns the test behind it around, so their order counts.

use super::{Filter, FilterError, Kind, Test};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// The flags of a filter, in the order in which they were typed.
#[derive(Debug, Clone, Default)]
pub struct FilterArgs(Vec<Flag>);

#[derive(Debug, Clone)]
enum Flag {
    Not,
    Test(Kind, String),
}

impl FilterArgs {
    /// What they say together.
    pub fn filter(&self) -> Result<Filter, FilterError> {
        let (mut tests, mut not) = (Vec::new(), false);
        let alone =
            || FilterError::new("`--not` is followed by no filter", "for example `--not --port udp/53`");
        for flag in &self.0 {
            match flag {
                Flag::Not if not => return Err(alone()),
                Flag::Not => not = true,
                Flag::Test(kind, text) => tests.push(Test::parse(*kind, std::mem::take(&mut not), text)?),
            }
        }
        if not { Err(alone()) } else { Filter::new(tests) }
    }
}

const NOT: &str = "not";
const HEADING: &str = "Filters (several of one are any of them; different ones all have to hold)";

const fn value(kind: Kind) -> &'static str {
    match kind {
        Kind::Verdict => "VERDICT",
        Kind::Identity | Kind::From | Kind::To => "SEL",
        Kind::Workload => "NAME",
        Kind::Rule => "RULE",
        Kind::Reason => "REASON",
        Kind::Port => "PORT",
        Kind::Direction => "DIRECTION",
        Kind::Cidr => "CIDR",
    }
}

const fn help(kind: Kind) -> &'static str {
    match kind {
        Kind::Verdict => "Only this verdict",
        Kind::Identity => {
            "Only flows of which one end is this: labels such as app=web that it carries, an address, world, host or workload/NAME"
        }
        Kind::From => "Only packets from this",
        Kind::To => "Only packets to this",
        Kind::Workload => "Only flows from or to this workload",
        Kind::Rule => "Only what this rule decided, such as shop#0; or any rule of the policy shop",
        Kind::Reason => "Only what was decided for this reason, such as no-rule",
        Kind::Port => {
            "Only this port of either end: tcp/5432, udp/8000-8100, icmp/echo-request, tcp, or 5432 of any protocol"
        }
        Kind::Direction => "Only this direction, as the workload sees it whose hook it is",
        Kind::Cidr => "Only flows of which one end's address is in this block",
    }
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let flag = |kind: Kind| {
            let arg = Arg::new(kind.word())
                .long(kind.word())
                .value_name(value(kind))
                .help(help(kind))
                .action(ArgAction::Append)
                .help_heading(HEADING);
            match kind.words() {
                [] => arg,
                words => arg.value_parser(PossibleValuesParser::new(words)),
            }
        };
        let not = Arg::new(NOT)
            .long(NOT)
            .num_args(0)
            .default_missing_value("true")
            .action(ArgAction::Append)
            .help("Leave out what the next filter matches: --not --port udp/53")
            .help_heading(HEADING);
        command.args(Kind::ALL.map(flag)).arg(not)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, Flag)> = Vec::new();
        for kind in Kind::ALL {
            let places = matches.indices_of(kind.word()).into_iter().flatten();
            let values = matches.get_many::<String>(kind.word()).into_iter().flatten();
            found.extend(places.zip(values).map(|(place, text)| (place, Flag::Test(kind, text.clone()))));
        }
        found.extend(matches.indices_of(NOT).into_iter().flatten().map(|place| (place, Flag::Not)));
        found.sort_unstable_by_key(|(place, _)| *place);
        Ok(Self(found.into_iter().map(|(_, flag)| flag).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
