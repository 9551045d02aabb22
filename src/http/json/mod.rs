//! JSON as the contract writes it, to messages and back, through the descriptors: no message has code of its own here.
//!
//! | file | what it does |
//! |---|---|
//! | `text` | text to a JSON value, strictly |
//! | `read` | JSON value to message, every fault named |
//! | `write` | message to JSON value |

mod read;
mod text;
mod write;

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

pub(crate) use read::{read, unknown};
pub(crate) use text::{parse, shown};
pub(crate) use write::write;

use crate::wire::pb;

/// The package of the public contract.
pub(crate) const PACKAGE: &str = "oddsmaker.v1";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS);
    assert!(pool.is_ok(), "INV-HTTP-1: the descriptors built into the program can be read");
    pool.unwrap_or_default()
});

/// Descriptors of the whole contract, comments included.
pub(crate) fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of one rpc.
pub(crate) fn rpc(service: &str, name: &str) -> MethodDescriptor {
    let found =
        POOL.get_service_by_name(&format!("{PACKAGE}.{service}")).and_then(|s| s.methods().find(|m| m.name() == name));
    let Some(found) = found else { panic!("INV-HTTP-2: the contract has the rpc {service}.{name}") };
    found
}

/// The descriptor of one message.
pub(crate) fn message(name: &str) -> MessageDescriptor {
    let Some(found) = POOL.get_message_by_name(&format!("{PACKAGE}.{name}")) else {
        panic!("INV-HTTP-6: the contract has the message {name}")
    };
    found
}

/// A message of the program as one that knows its fields. Both come from the same descriptors, so nothing is lost.
pub(crate) fn dynamic<M: Message>(descriptor: MessageDescriptor, message: &M) -> DynamicMessage {
    let read = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice());
    assert!(read.is_ok(), "INV-HTTP-3: a message reads as its own descriptor");
    read.unwrap_or_else(|_| DynamicMessage::new(descriptor))
}

/// The reverse of [`dynamic`].
pub(crate) fn typed<M: Message + Default>(message: &DynamicMessage) -> M {
    let read = message.transcode_to::<M>();
    assert!(read.is_ok(), "INV-HTTP-3: a message reads as its own descriptor");
    read.unwrap_or_default()
}

/// Messages with a JSON form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WellKnown {
    /// An instant: RFC 3339.
    Timestamp,
    /// Any object.
    Struct,
}

impl WellKnown {
    /// Which of them this message is.
    pub(crate) fn of(descriptor: &MessageDescriptor) -> Option<Self> {
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => Some(Self::Timestamp),
            "google.protobuf.Struct" => Some(Self::Struct),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
