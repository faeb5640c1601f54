//! Messages from outside, read by the descriptors that a mapping pins, to vendor-neutral JSON.
//!
//! Stricter than protobuf asks: fields that the descriptor does not know, fields given twice, and floating point numbers
//! are refused, so that nothing in a record is hidden and two gateways cannot read two things. Names are those of the
//! `.proto` file; numbers of 64 bits are text; bytes are base64; an enum is its value's name.

pub mod descriptor;
mod message;

pub use descriptor::Descriptors;
