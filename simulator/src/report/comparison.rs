//! One scenario under several protocols: a table for a person, or CSV.

use std::io::{self, Write};

use super::result::RunOutcome;
use crate::scenario::Protocol;

/// The totals of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolTotals {
    /// The protocol.
    pub protocol: Protocol,
    /// The commits.
    pub epochs: u64,
    /// The application messages.
    pub messages: u64,
    /// The bytes of handshakes and welcomes that the service received.
    pub handshake_uploaded: u64,
    /// The bytes of handshakes and welcomes that it delivered.
    pub handshake_delivered: u64,
    /// The bytes of application messages that the service received.
    pub message_uploaded: u64,
    /// The bytes of application messages that it delivered.
    pub message_delivered: u64,
    /// The devices that were ever members.
    pub devices: u64,
    /// The public-key operations of all devices.
    pub public_key_operations: u64,
}

impl ProtocolTotals {
    /// The totals of a run.
    #[must_use]
    pub fn of(protocol: Protocol, outcome: &RunOutcome) -> Self {
        let figures = &outcome.figures;
        let service = |bytes: fn(&crate::cost::ServiceBytes) -> u64| {
            outcome.costs.iter().map(|entry| bytes(&entry.service)).sum::<u64>()
        };
        Self {
            protocol,
            epochs: figures.epochs,
            messages: figures.messages,
            handshake_uploaded: service(|service| service.uploaded),
            handshake_delivered: service(|service| service.delivered),
            message_uploaded: figures.message_traffic.uploaded_bytes,
            message_delivered: figures.message_traffic.delivered_bytes,
            devices: figures.devices,
            public_key_operations: figures.costs.values().map(|counts| counts.public_key_operations()).sum(),
        }
    }

    /// The bytes that an average device received, rounded down.
    #[must_use]
    pub fn received_by_device(&self) -> u64 {
        (self.handshake_delivered + self.message_delivered) / self.devices.max(1)
    }

    /// The public-key operations of an average device, rounded down.
    #[must_use]
    pub fn operations_of_device(&self) -> u64 {
        self.public_key_operations / self.devices.max(1)
    }
}

/// The kind of the source from which the figures of a protocol come.
#[must_use]
pub fn source(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mls => "measured",
        Protocol::MlsOptionalPaths => "model of RFC 9420",
        Protocol::SplitCommits | Protocol::PartialMls | Protocol::AmortizedPqCombiner => "model of a draft",
        Protocol::TaintedTreekem => "model of a paper",
        Protocol::Pairwise | Protocol::SenderKeys => "model of specifications",
    }
}

/// The columns of the CSV file.
const COLUMNS: [&str; 11] = [
    "protocol",
    "source",
    "epochs",
    "messages",
    "devices",
    "handshake_uploaded_bytes",
    "handshake_delivered_bytes",
    "message_uploaded_bytes",
    "message_delivered_bytes",
    "received_bytes_per_device",
    "public_key_operations_per_device",
];

/// Writes a CSV file with one row for each protocol.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_csv(out: impl Write, rows: &[ProtocolTotals]) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(COLUMNS)?;
    for row in rows {
        let numbers = [
            row.epochs,
            row.messages,
            row.devices,
            row.handshake_uploaded,
            row.handshake_delivered,
            row.message_uploaded,
            row.message_delivered,
            row.received_by_device(),
            row.operations_of_device(),
        ];
        out.write_field(row.protocol.name())?;
        out.write_field(source(row.protocol))?;
        out.write_record(numbers.map(|number| number.to_string()))?;
    }
    out.flush()
}

/// Writes a table for a person.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_table(out: &mut dyn Write, rows: &[ProtocolTotals]) -> io::Result<()> {
    writeln!(out, "{:22} {:24} {:^31}  {:^31}", "", "", "bytes uploaded by", "an average device")?;
    writeln!(
        out,
        "{:22} {:24} {:>15} {:>15}  {:>15} {:>15}",
        "protocol", "source", "handshakes", "messages", "bytes received", "public-key ops"
    )?;
    for row in rows {
        writeln!(
            out,
            "{:22} {:24} {:>15} {:>15}  {:>15} {:>15}",
            row.protocol.name(),
            source(row.protocol),
            row.handshake_uploaded,
            row.message_uploaded,
            row.received_by_device(),
            row.operations_of_device()
        )?;
    }
    Ok(())
}
