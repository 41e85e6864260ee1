//! Time to compile: sets of growing size, and shapes that tempt a compiler into products.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::model::{PolicySet, SegmentMode, Workload};
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::hint::black_box;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn workloads(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let (a, b) = (n / 250, n % 250 + 1);
        writeln!(
            text,
            "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: w{n}}}\nspec:\n  labels: {{app: app{n}, env: prod, role: role{}}}\n  match: [{{interface: ve{n}}}]\n  addresses: [10.{}.{}.{b}]\n---",
            n % 10,
            a / 250,
            a % 250,
        )
        .expect("strings take everything");
    }
    text
}

fn policy(name: &str, from: &str, to: &str, port: &str) -> String {
    format!(
        "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: {name}}}\nspec:\n  flows:\n    - from: [{from}]\n      to: [{to}]\n      ports: [{port}]\n      why: a bench\n---\n"
    )
}

/// One workload of each application to the next one's.
fn chain(count: usize) -> String {
    let mut text = workloads(count);
    for n in 0..count {
        let (from, to) = (
            format!("labels: {{app: app{n}, env: prod}}"),
            format!("labels: {{app: app{}}}", (n + 1) % count),
        );
        text += &policy(
            &format!("p{n}"),
            &format!("{{{from}}}"),
            &format!("{{{to}}}"),
            &format!("tcp/{}", 1024 + n % 5000),
        );
    }
    text
}

/// The same beside a rule from everything to everything.
fn beside_all(count: usize) -> String {
    let guardrail = policy("all", "{entity: all}", "{entity: all}", "tcp/22");
    chain(count)
        + &guardrail
            .replace("spec:\n", "spec:\n  tier: guardrail\n")
            .replace("    - from", "    - action: deny\n      from")
}

/// One workload of each application to every workload.
fn to_all(count: usize) -> String {
    let mut text = workloads(count);
    for n in 0..count {
        text += &policy(
            &format!("p{n}"),
            &format!("{{labels: {{app: app{n}}}}}"),
            "{entity: workloads}",
            "tcp/443",
        );
    }
    text
}

/// Every workload to every workload of ten roles.
fn by_role(count: usize) -> String {
    let mut text = workloads(count);
    for n in 0..10 {
        text += &policy(
            &format!("p{n}"),
            "{labels: {env: prod}}",
            &format!("{{labels: {{role: role{n}}}}}"),
            "tcp/443",
        );
    }
    text
}

fn parse(text: &str) -> PolicySet {
    let checked = check::parse(&[Source::new("bench.yaml", text)], NOW);
    checked
        .into_result()
        .map_err(|invalid| format!("{:?}", invalid.0.first()))
        .expect("the bench's documents are right")
        .0
}

const CLOCK: Clock = Clock { now: NOW, boot_ns: 0 };

fn compiled(set: &PolicySet) -> (Compiled, Numbers) {
    let mut numbers = Numbers::default();
    let inputs = Inputs { set, host: &[], default_mode: SegmentMode::Enforce, clock: CLOCK };
    let compiled = compile(&inputs, &mut numbers).expect("the bench's sets fit");
    (compiled, numbers)
}

fn compile_sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for count in [10, 1_000, 10_000] {
        let set = parse(&chain(count));
        group.bench_function(BenchmarkId::new("policies", count), |b| b.iter(|| black_box(compiled(&set))));
    }
    for (name, text) in
        [("beside-all", beside_all(10_000)), ("to-all", to_all(10_000)), ("by-role", by_role(10_000))]
    {
        let set = parse(&text);
        group.bench_function(name, |b| b.iter(|| black_box(compiled(&set))));
    }
    group.finish();
}

fn parse_and_compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse-and-compile");
    group.sample_size(10);
    let text = chain(10_000);
    group.bench_function(BenchmarkId::new("policies", 10_000), |b| {
        b.iter(|| black_box(compiled(&parse(&text))))
    });
    group.finish();
}

fn one_workload(c: &mut Criterion) {
    let mut group = c.benchmark_group("one-workload");
    let set = parse(&chain(10_000));
    let (start, numbers) = compiled(&set);
    let new: Workload = Workload {
        name: "new".to_owned(),
        addresses: vec!["10.200.0.1".parse().expect("an address")],
        ..set.workloads[0].clone()
    };
    group.sample_size(20);
    group.bench_function("add-to-10000", |b| {
        b.iter_batched_ref(
            || (start.clone(), numbers.clone()),
            |(compiled, numbers)| black_box(compiled.upsert_workload(&new, numbers, CLOCK)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, compile_sets, parse_and_compile, one_workload);
criterion_main!(benches);
