//! What others did to what is enforced, as a line for people.

use crate::output::time_of_day;
use crate::protocol::TamperRecord;
use enforcer_policy::diagnostic::shown;

/// `12:53:39.168 TAMPER hook-removed  veth-web egress (web)  repaired, gap at most 312 ms`.
#[must_use]
pub(crate) fn tamper_line(record: &TamperRecord) -> String {
    format!("{} TAMPER {}", time_of_day(&record.time), tamper_text(record))
}

/// The same without the time.
#[must_use]
pub(crate) fn tamper_text(record: &TamperRecord) -> String {
    let mut place = Vec::new();
    place.extend(record.interface.iter().map(|name| shown(name)));
    place.extend(record.direction.iter().map(|direction| shown(direction)));
    place.extend(record.workload.iter().map(|workload| format!("({})", shown(workload))));
    place.extend(record.hook.iter().map(|hook| format!("sockets {}", shown(hook))));
    place.extend(record.table.iter().map(|table| {
        let entries = record.entries.unwrap_or(1);
        format!("{}: {entries} {}", shown(table), if entries == 1 { "entry" } else { "entries" })
    }));
    place.extend(record.pin.iter().map(|pin| pin.escape_debug().to_string()));
    place.extend(record.ahead.iter().map(|ahead| behind(ahead, record.program)));
    let end = match (&record.error, record.repaired, record.tamper.as_str()) {
        (Some(error), _, _) => format!("not repaired: {}", error.escape_debug()),
        (None, _, "unreachable") => "packets may not get to it".to_owned(),
        (None, true, _) => format!("repaired, gap at most {} ms", record.gap_ms),
        (None, false, _) => "not repaired".to_owned(),
    };
    format!("{}  {}  {end}", shown(&record.tamper), place.join(" "))
}

/// What keeps packets from a hook: a program by its name and number, or a kind of filter.
#[must_use]
pub(crate) fn behind(ahead: &str, program: Option<u32>) -> String {
    match program {
        Some(id) => format!("behind `{}` (program {id})", shown(ahead)),
        None => format!("behind a filter `{}`", shown(ahead)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> TamperRecord {
        let text = format!(
            r#"{{"schema":"enforcer.tamper/v1","time":"2026-01-02T03:04:05Z","gap_ms":312,{fields}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn lines_say_what_where_and_for_how_long() {
        let hook = r#""tamper":"hook-removed","interface":"veth\n1","ifindex":7,"direction":"egress","workload":"web","repaired":true"#;
        let text = tamper_text(&record(hook));
        assert_eq!(text, "hook-removed  veth\\n1 egress (web)  repaired, gap at most 312 ms");
        let birth = r#""tamper":"hook-removed","hook":"bound4","repaired":true"#;
        let text = tamper_text(&record(birth));
        assert_eq!(text, "hook-removed  sockets bound4  repaired, gap at most 312 ms");
        let table =
            r#""tamper":"table-changed","table":"PAIRS","entries":3,"repaired":false,"error":"frozen""#;
        assert_eq!(tamper_text(&record(table)), "table-changed  PAIRS: 3 entries  not repaired: frozen");
        let ahead = r#""tamper":"unreachable","interface":"v1","direction":"ingress","ahead":"evil","program":9,"repaired":false"#;
        let text = tamper_text(&record(ahead));
        assert_eq!(text, "unreachable  v1 ingress behind `evil` (program 9)  packets may not get to it");
    }
}
