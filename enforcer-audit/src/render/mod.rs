//! The report in the forms that people and other programs read. All names are escaped and bounded on the way.

mod changes;
mod github;
mod html;
mod human;
mod junit;
mod sarif;
mod sweeps;
mod table;
pub(crate) mod text;

pub use changes::flow_changes;
pub use github::github;
pub use html::html;
pub use human::human;
pub use junit::junit;
pub use sarif::sarif;
