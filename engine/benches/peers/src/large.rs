//! Large groups on all sides: times, memory of a device, and sizes of messages.
//!
//! One commit adds all members, so the tree is fresh. Only the members of the first and the last
//! leaf have a state. The first run of each operation counts its memory. The other runs are timed.

use std::mem;

use crate::{
    allocation::{self, Memory},
    mls_rs_member::{AwsLc, MlsRsMember, RustCrypto},
    public_tree::PublicTree,
    table::median,
    workload::{BenchmarkMember, EngineMember, RawMember, name, timed},
};

const SIZES: [usize; 3] = [1000, 5000, 10_000];
/// The number of groups that each side creates, and the number of epochs in the last of them.
const GROUPS: usize = 2;
const EPOCHS: usize = 5;

/// Prints the tables for the chosen sizes. All sizes are chosen if the list is empty.
pub fn print(chosen: &[usize]) {
    println!("Times are medians. Memory is the peak of the allocated bytes in one call. *Device* is the memory");
    println!("of a device after its join: its group in memory and its store in memory.\n");
    println!(
        "| members | | create s | join ms | update ms | confirm ms | process ms | device MB | create MB | join MB | \
         update MB | process MB | commit that adds kB | welcome kB | group info kB | update kB |"
    );
    println!("| ---: | --- |{}", " ---: |".repeat(14));
    let sizes = if chosen.is_empty() { &SIZES[..] } else { chosen };
    let mut service = Vec::new();
    for size in sizes {
        let key_packages: Vec<_> = (1..size - 1).map(|leaf| EngineMember::new(&name(leaf)).key_package()).collect();
        let mut sides: [(&str, Box<dyn Side>); 4] = [
            ("Regrow", Box::<Measured<EngineMember>>::default()),
            ("mls-rs, RustCrypto", Box::<Measured<MlsRsMember<RustCrypto>>>::default()),
            ("mls-rs, aws-lc", Box::<Measured<MlsRsMember<AwsLc>>>::default()),
            ("OpenMLS", Box::<Measured<RawMember>>::default()),
        ];
        for _ in 0..GROUPS {
            sides.iter_mut().for_each(|(_, side)| side.create(&key_packages));
        }
        for _ in 0..EPOCHS {
            sides.iter_mut().for_each(|(_, side)| side.advance());
        }
        for (name, side) in &sides {
            println!("| {size} | {name} | {} |", side.results().join(" | "));
        }
        service.push(service_row(*size, sides[0].1.as_mut()));
    }
    println!("\nThe public state of the group, which the delivery service has:\n");
    println!("| members | MB | peak MB while it is verified | process ms |");
    println!("| ---: | ---: | ---: | ---: |");
    service.iter().for_each(|row| println!("{row}"));
}

fn service_row(size: usize, side: &mut dyn Side) -> String {
    let (group_info, update) = side.group_info_and_update();
    let (memory, mut tree) = PublicTree::new(&group_info);
    let process = tree.process(&update).as_secs_f64() * 1e3;
    format!("| {size} | {} | {} | {process:.1} |", megabytes(memory.kept), megabytes(memory.peak))
}

fn megabytes(bytes: isize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

trait Side {
    /// Creates a group of these members and two others, in place of the group before.
    fn create(&mut self, key_packages: &[Vec<u8>]);
    /// Makes and processes an update of each of the two members.
    fn advance(&mut self);
    /// Returns a group info with the tree, and an update of the same epoch. Nobody processes it.
    fn group_info_and_update(&mut self) -> (Vec<u8>, Vec<u8>);
    fn results(&self) -> Vec<String>;
}

/// The measurements of one side, and its present group.
struct Measured<M> {
    first: Option<M>,
    last: Option<M>,
    create: Samples,
    join: Samples,
    update: Samples,
    confirm: Samples,
    process: Samples,
    /// The bytes of the commit that adds all members, its welcome, a group info with the tree, and
    /// an update.
    bytes: [usize; 4],
}

impl<M> Default for Measured<M> {
    fn default() -> Self {
        let [create, join, update, confirm, process] = Default::default();
        Self { first: None, last: None, create, join, update, confirm, process, bytes: [0; 4] }
    }
}

impl<M: BenchmarkMember> Side for Measured<M> {
    fn create(&mut self, key_packages: &[Vec<u8>]) {
        let (mut first, mut last) = (M::new(&name(0)), M::new(&name(key_packages.len() + 1)));
        let mut all = key_packages.to_vec();
        all.push(last.key_package());
        let (commit, welcome) = self.create.run(|| {
            first.create_group();
            let commit = first.add(&all);
            let messages = (M::bytes(&commit).len(), M::welcome(&commit).to_vec());
            first.confirm(commit);
            messages
        });
        self.join.run(|| last.join(&welcome));
        assert_eq!(first.epoch_authenticator(), last.epoch_authenticator());
        self.bytes = [commit, welcome.len(), first.group_info().len(), 0];
        (self.first, self.last) = (Some(first), Some(last));
    }

    fn advance(&mut self) {
        let (Some(first), Some(last)) = (&mut self.first, &mut self.last) else { return };
        for _ in 0..2 {
            let commit = self.update.run(|| first.update());
            self.bytes[3] = M::bytes(&commit).len();
            self.process.run(|| last.receive(M::bytes(&commit)));
            self.confirm.run(|| first.confirm(commit));
            assert_eq!(first.epoch_authenticator(), last.epoch_authenticator());
            mem::swap(first, last);
        }
    }

    fn group_info_and_update(&mut self) -> (Vec<u8>, Vec<u8>) {
        let Some(first) = &mut self.first else { return Default::default() };
        let group_info = first.group_info();
        let update = first.update();
        (group_info, M::bytes(&update).to_vec())
    }

    fn results(&self) -> Vec<String> {
        let times =
            [(&self.create, 1.0), (&self.join, 1e3), (&self.update, 1e3), (&self.confirm, 1e3), (&self.process, 1e3)];
        let peaks = [&self.create, &self.join, &self.update, &self.process];
        let kilobytes = self.bytes.iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e3));
        let mut cells: Vec<_> =
            times.iter().map(|(samples, unit)| format!("{:.1}", samples.seconds() * unit)).collect();
        cells.push(megabytes(self.join.memory().kept));
        cells.extend(peaks.iter().map(|samples| megabytes(samples.memory().peak)));
        cells.extend(kilobytes);
        cells
    }
}

/// The runs of one operation.
#[derive(Default)]
struct Samples {
    /// The memory of the first run.
    memory: Option<Memory>,
    /// The times of the other runs in seconds.
    times: Vec<f64>,
}

impl Samples {
    fn run<T>(&mut self, act: impl FnOnce() -> T) -> T {
        if self.memory.is_none() {
            let (memory, value) = allocation::measured(act);
            self.memory = Some(memory);
            return value;
        }
        let (time, value) = timed(act);
        self.times.push(time.as_secs_f64());
        value
    }

    fn seconds(&self) -> f64 {
        median(self.times.iter().copied())
    }

    fn memory(&self) -> Memory {
        self.memory.unwrap_or(Memory { kept: 0, peak: 0 })
    }
}
