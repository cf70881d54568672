//! The key packages of a run as the fact recorder knows them: their names in the oracle, and which of
//! them the devices still have.

use std::collections::BTreeMap;

use regrow_engine::{KeyPackageBytes, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{
    oracle::KeyPackageId,
    wire::{push_variable, variable},
};

/// All key packages of a run.
#[derive(Default)]
pub(super) struct KnownKeyPackages {
    /// The key packages with which a device can still be added, by reference (RFC 9420, 5.2).
    usable: BTreeMap<Vec<u8>, UsableKeyPackage>,
    /// All key packages.
    made: BTreeMap<KeyPackageId, MadeKeyPackage>,
    /// The number of key packages that each device has made.
    counts: BTreeMap<usize, u32>,
}

struct UsableKeyPackage {
    id: KeyPackageId,
    of: usize,
    bytes: KeyPackageBytes,
    /// The time from which the owner erases the key package. [`None`] if the owner has erased it.
    /// Others can still add the owner with it: their clocks may be wrong.
    expires: Option<Timestamp>,
}

/// A key package of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MadeKeyPackage {
    /// Its number among the key packages of its device, from 1.
    pub(super) number: u32,
    /// True if its keys stay on the device after a welcome has used them.
    pub(super) last_resort: bool,
}

impl KnownKeyPackages {
    /// A device has made a key package.
    pub(super) fn made(
        &mut self,
        of: usize,
        id: KeyPackageId,
        bytes: &KeyPackageBytes,
        expires: Timestamp,
        last_resort: bool,
    ) {
        let count = self.counts.entry(of).or_default();
        *count += 1;
        self.made.insert(id, MadeKeyPackage { number: *count, last_resort });
        let usable = UsableKeyPackage { id, of, bytes: bytes.clone(), expires: Some(expires) };
        self.usable.insert(reference(bytes.as_bytes()), usable);
    }

    /// A device has erased its expired key packages. Returns them.
    pub(super) fn expired(&mut self, of: usize, now: Timestamp) -> Vec<KeyPackageId> {
        let known = self.usable.values_mut().filter(|known| known.of == of);
        known.filter_map(|known| known.expires.take_if(|expires| *expires <= now).map(|_| known.id)).collect()
    }

    /// A device has erased these key packages. Returns those that it had.
    pub(super) fn erased(&mut self, key_packages: &[KeyPackageBytes]) -> Vec<KeyPackageId> {
        let had = key_packages.iter().filter_map(|bytes| {
            let known = self.usable.get_mut(&reference(bytes.as_bytes()))?;
            known.expires.take().map(|_| known.id)
        });
        had.collect()
    }

    /// The owner of a key package has joined with it. Nobody uses a one-time key package again.
    pub(super) fn used(&mut self, id: KeyPackageId) {
        if !self.is_last_resort(id) {
            self.usable.retain(|_, known| known.id != id);
        }
    }

    /// True if the keys stay on a device that has joined with the key package.
    pub(super) fn is_last_resort(&self, id: KeyPackageId) -> bool {
        self.get(id).is_some_and(|made| made.last_resort)
    }

    /// The key packages whose private keys a device has.
    pub(super) fn on_device(&self, of: usize) -> Vec<KeyPackageBytes> {
        let on_device = self.usable.values().filter(|known| known.of == of && known.expires.is_some());
        on_device.map(|known| known.bytes.clone()).collect()
    }

    /// The key package of each device that a welcome is for.
    pub(super) fn invited(&self, welcome: &[u8]) -> BTreeMap<usize, KeyPackageId> {
        let known = references(welcome).into_iter().filter_map(|reference| self.usable.get(reference));
        known.map(|known| (known.of, known.id)).collect()
    }

    /// The key package with this name.
    pub(super) fn get(&self, id: KeyPackageId) -> Option<MadeKeyPackage> {
        self.made.get(&id).copied()
    }
}

/// The reference of a key package in an MLSMessage (RFC 9420, 5.2). All ciphersuites of the
/// simulator use SHA-256.
fn reference(message: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(message.len() + 64);
    push_variable(&mut input, b"MLS 1.0 KeyPackage Reference");
    // The key package follows the version and the wire format.
    push_variable(&mut input, message.get(4..).unwrap_or_default());
    Sha256::digest(&input).to_vec()
}

/// The references of the key packages in a welcome (RFC 9420, 12.4.3.1).
fn references(welcome: &[u8]) -> Vec<&[u8]> {
    let mut references = Vec::new();
    // The secrets follow the version, the wire format and the ciphersuite.
    let secrets = welcome.get(6..).and_then(variable);
    let mut rest = secrets.map_or(&[][..], |(secrets, _)| secrets);
    while let Some((reference, after)) = variable(rest) {
        references.push(reference);
        let encrypted = variable(after).and_then(|(_kem_output, after)| variable(after));
        rest = encrypted.map_or(&[][..], |(_ciphertext, after)| after);
    }
    references
}
