//! The prices of requests.

/// The bytes of a body that cost one unit.
const BYTES_PER_UNIT: usize = 64 * 1024;

/// The key packages that the server verifies for one unit.
const KEY_PACKAGES_PER_UNIT: usize = 10;

/// The devices that a commit adds or removes for one unit.
const DEVICES_PER_UNIT: usize = 10;

/// The price of a request, in cost units. Each request costs one unit. The other prices come on
/// top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    /// One request.
    Request,
    /// The bytes of a body beyond the first 64 KiB: one unit for each 64 KiB that the body begins.
    Bytes(usize),
    /// The devices that a commit adds or removes: one unit for every ten.
    Devices(usize),
    /// The key packages that the server verifies: one unit for every ten.
    KeyPackages(usize),
    /// This number of units.
    Units(u32),
}

impl Price {
    pub(crate) fn units(self) -> u32 {
        let units = match self {
            Self::Request => 1,
            Self::Bytes(bytes) => bytes.div_ceil(BYTES_PER_UNIT).saturating_sub(1),
            Self::Devices(devices) => devices / DEVICES_PER_UNIT,
            Self::KeyPackages(key_packages) => key_packages / KEY_PACKAGES_PER_UNIT,
            Self::Units(units) => return units,
        };
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}
