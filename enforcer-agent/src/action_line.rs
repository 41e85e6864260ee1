//! What was done because it was asked for, as a line for people.

use crate::output::time_of_day;
use crate::protocol::ActionRecord;
use crate::selection;
use enforcer_policy::diagnostic::shown;

/// `12:53:39.168 QUARANTINE  ledger  until …  except …  (ticket 4711)`.
#[must_use]
pub(crate) fn action_line(record: &ActionRecord) -> String {
    let mut told = vec![format!("{} {}", time_of_day(&record.time), shown(&record.action).to_uppercase())];
    told.extend(record.workload.iter().map(|workload| shown(workload)));
    told.extend(record.segment.iter().map(|segment| format!("by segment {}", shown(segment))));
    told.extend((!record.labels.is_empty()).then(|| selection::labels(&record.labels)));
    told.extend(record.until.iter().map(|until| format!("until {}", shown(until))));
    told.extend(record.except.iter().map(|except| format!("except {}", shown(except))));
    told.extend(record.why.iter().map(|why| format!("({})", shown(why))));
    told.push(format!("epoch {}", record.epoch));
    told.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_until_when_and_why() {
        let record = ActionRecord {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            action: "quarantine".to_owned(),
            workload: Some("web\n".to_owned()),
            except: Some("10.0.0.7:tcp/22".to_owned()),
            why: Some("ticket 4711".to_owned()),
            epoch: 7,
            ..ActionRecord::now()
        };
        let line = action_line(&record);
        assert!(
            line.ends_with("QUARANTINE  web\\n  except 10.0.0.7:tcp/22  (ticket 4711)  epoch 7"),
            "{line}"
        );
    }
}
