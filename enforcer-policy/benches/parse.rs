//! Reading and checking documents: text to a checked set, in one file and in thousands.
#![allow(missing_docs, reason = "criterion's macros make public functions without documentation")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enforcer_policy::check;
use enforcer_policy::source::Source;
use std::hint::black_box;

/// `count` workloads and `count` policies between them.
fn documents(count: usize) -> Vec<String> {
    let mut documents = Vec::with_capacity(count * 2);
    for n in 0..count {
        let (high, low) = (n / 250, n % 250 + 1);
        documents.push(format!(
            "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: w{n}}}\nspec:\n  \
             labels: {{app: app-{n}, env: prod, role: role-{}}}\n  match: [{{interface: veth-{n}}}]\n  \
             addresses: [10.7.{high}.{low}, \"fd00::{n:x}\"]\n",
            n % 20
        ));
    }
    for n in 0..count {
        documents.push(format!(
            "# Who may reach app-{n}, and why.\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\n\
             metadata: {{name: p{n}}}\nspec:\n  tier: application\n  flows:\n    - action: allow\n      \
             from: [{{labels: {{app: app-{}, env: prod}}}}]\n      \
             to:   [{{labels: {{app: app-{n}}}, expressions: [{{key: env, in: [prod, staging]}}]}}]\n      \
             ports: [tcp/{}, udp/8000-8100]\n      why: orders API\n",
            (n * 7 + 1) % count,
            1024 + n % 40_000
        ));
    }
    documents
}

fn parse_and_check(c: &mut Criterion) {
    let now = "2026-01-01T00:00:00Z".parse().expect("an instant");
    let mut group = c.benchmark_group("parse_and_check");
    group.sample_size(10);
    for count in [10, 1_000, 10_000] {
        let documents = documents(count);
        let one = vec![Source::new("all.yaml", documents.join("---\n"))];
        let many: Vec<Source> = documents
            .chunks(4)
            .enumerate()
            .map(|(n, chunk)| Source::new(format!("{n}.yaml"), chunk.join("---\n")))
            .collect();
        group.throughput(Throughput::Bytes(one[0].text.len() as u64));
        for (name, sources) in [("one_file", &one), ("many_files", &many)] {
            let checked = check::parse(sources, now);
            assert!(checked.diagnostics.is_empty(), "{}", checked.diagnostics[0]);
            group.bench_with_input(BenchmarkId::new(name, count), sources, |b, sources| {
                b.iter_batched(|| (), |()| black_box(check::parse(sources, now)), BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parse_and_check);
criterion_main!(benches);
