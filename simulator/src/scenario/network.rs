//! The steps `network` and `clock`: changes of the members' connections, and of their clocks.

use std::{fmt, time::Duration};

use super::{name::MemberName, write::duration};
use crate::churn::Decimal;

/// A change of the members' connections to the delivery service. A field that is not set changes
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChange {
    /// The members whose connections change; all members if not set.
    pub who: Option<Vec<MemberName>>,
    /// True if the connections are perfect again, before the other fields apply.
    pub heal: bool,
    /// The time of a request, an answer or a delivery on its way, in milliseconds.
    pub latency_ms: Option<u32>,
    /// The largest random time on top of the latency, in milliseconds.
    pub jitter_ms: Option<u32>,
    /// The probability that a request, an answer or a delivery is lost.
    pub loss: Option<Decimal>,
    /// The probability that a request or a delivery arrives twice.
    pub duplicate: Option<Decimal>,
    /// The probability that later deliveries overtake a delivery.
    pub reorder: Option<Decimal>,
    /// The sides of a partition. The delivery service is on the first side, and the members of the
    /// other sides are cut off.
    pub partition: Option<Vec<Vec<MemberName>>>,
}

/// A change of a device's clock. At least one field is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The difference to the delivery service's clock from now on.
    pub offset: Option<ClockOffset>,
    /// The seconds of the clock in one second of the delivery service's clock.
    pub rate: Option<Decimal>,
}

/// The difference of a clock to the delivery service's clock, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// True if the clock is behind.
    pub behind: bool,
    /// The size of the difference.
    pub by: Duration,
}

/// Writes the offset as in a file, such as `+3d` or `-90s`.
impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.behind { '-' } else { '+' }, duration(self.by))
    }
}
