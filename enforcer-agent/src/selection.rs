//! `SEL` of the command line: `app=web,env=prod`, `10.0.0.7`, `world`, `host` or `workload/NAME`.

use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{Endpoint, Entity, Labels};
use std::net::IpAddr;

/// Why a text is no `SEL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` doesn't name an end of a flow", shown(.text))]
pub struct SelectionError {
    text: String,
}

impl SelectionError {
    /// The way out.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "for example `app=web,env=prod`, `10.0.0.7`, `world`, `host` or `workload/web`"
    }
}

/// Reads a `SEL`.
pub fn parse(text: &str) -> Result<Endpoint, SelectionError> {
    let error = || SelectionError { text: text.to_owned() };
    match text {
        "world" => return Ok(Endpoint::Entity(Entity::World)),
        "host" => return Ok(Endpoint::Entity(Entity::Host)),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("workload/") {
        return if name.is_empty() { Err(error()) } else { Ok(Endpoint::Workload(name.to_owned())) };
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Endpoint::Address(address));
    }
    let mut labels = Labels::new();
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(error());
                }
            }
            Some(_) | None => return Err(error()),
        }
    }
    Ok(Endpoint::Labels(labels))
}

/// The form that [`parse`] reads, safe to show.
#[must_use]
pub fn text(end: &Endpoint) -> String {
    match end {
        Endpoint::Labels(pairs) => labels(pairs),
        Endpoint::Address(address) => address.to_string(),
        Endpoint::Entity(entity) => entity.word().to_owned(),
        Endpoint::Workload(name) => format!("workload/{}", shown(name)),
    }
}

/// `app=web,env=prod`, bounded and safe to show.
#[must_use]
pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    const MOST: usize = 16;
    let mut pairs = pairs.into_iter();
    let mut shown: Vec<String> =
        pairs.by_ref().take(MOST).map(|(key, value)| format!("{}={}", shown(key), shown(value))).collect();
    match pairs.count() {
        0 => {}
        more => shown.push(format!("…{more} more")),
    }
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back() {
        for form in ["app=web,env=prod", "10.0.0.7", "fd00::7", "world", "host", "workload/web"] {
            assert_eq!(text(&parse(form).unwrap()), form);
        }
        for wrong in ["", "web", "=x", "app=web,", "a=1,a=2", "workload/", "10.0.0.0/8"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
