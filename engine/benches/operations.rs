//! Compares the engine with OpenMLS alone under Criterion, for exploration:
//! `cargo bench -p regrow-engine --bench operations`. A filter such as `process/1000` can follow
//! after `--`. The bench `table` makes the table of ratios.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod workload;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use workload::{BenchmarkMember, EngineMember, MeasuredGroup, Operation, RawMember, TreeHistory};

const SIZES: [usize; 4] = [2, 10, 100, 1000];

fn operations(criterion: &mut Criterion) {
    for operation in Operation::ALL {
        let mut group = criterion.benchmark_group(operation.name());
        group.sample_size(10);
        for size in SIZES {
            for tree in TreeHistory::ALL.into_iter().filter(|tree| tree.concerns(operation)) {
                let parameter = format!("{size}/{}", tree.name());
                bench::<EngineMember>(&mut group, "engine", &parameter, size, tree, operation);
                bench::<RawMember>(&mut group, "openmls", &parameter, size, tree, operation);
            }
        }
        group.finish();
    }
}

fn bench<M: BenchmarkMember>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    side: &str,
    parameter: &str,
    size: usize,
    tree: TreeHistory,
    operation: Operation,
) {
    // The scene is built only if the filter selects the benchmark.
    let mut scene: Option<MeasuredGroup<M>> = None;
    group.bench_function(BenchmarkId::new(side, parameter), |bencher| {
        let scene = scene.get_or_insert_with(|| MeasuredGroup::new(size, tree));
        bencher.iter_custom(|iterations| (0..iterations).map(|_| scene.sample(operation)).sum());
    });
}

criterion_group!(benches, operations);
criterion_main!(benches);
