//! The few of containerd's messages that are needed, with the numbers that its published definitions give their fields.

use prost::Message;
use std::collections::HashMap;

/// A namespace of containerd's.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListNamespaces {
    #[prost(string, tag = "1")]
    pub(super) filter: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    pub(super) namespaces: Vec<Namespace>,
}

/// A container: what is to run, whether it does or not.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Described {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(map = "string, string", tag = "2")]
    pub(super) labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub(super) image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetContainer {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GotContainer {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Described>,
}

/// The first process of a container.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Process {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    /// The same as the container's, in a list.
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
}

impl Process {
    /// Created, running, paused or about to be. 0 is unknown and 3 stopped.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.status, 1 | 2 | 4 | 5) && self.pid != 0
    }

    /// Its command hasn't run yet.
    pub(super) fn is_created(&self) -> bool {
        self.status == 1
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTask {
    #[prost(string, tag = "1")]
    pub(super) container: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GotTask {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<Process>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListTasks {
    #[prost(string, tag = "1")]
    pub(super) filter: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tasks {
    #[prost(message, repeated, tag = "1")]
    pub(super) tasks: Vec<Process>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Subscribe {
    #[prost(string, repeated, tag = "1")]
    pub(super) filters: Vec<String>,
}

/// An instant.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Instant {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Instant {
    pub(super) fn nanoseconds(self) -> Option<i64> {
        self.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(self.nanos))
    }
}

/// Something of which only the bytes are told.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// An event.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(message, optional, tag = "1")]
    pub(super) at: Option<Instant>,
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) topic: String,
    #[prost(message, optional, tag = "4")]
    pub(super) event: Option<Any>,
}

/// What all events of containers and tasks begin with: the container's id.
#[derive(Clone, PartialEq, Message)]
pub(super) struct About {
    #[prost(string, tag = "1")]
    pub(super) container: String,
}

/// The end of one of a container's processes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exit {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    /// The container's own for its first process.
    #[prost(string, tag = "2")]
    pub(super) id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}
