//! `regrow compare`.

use std::io::Write as _;

use anyhow::Result;
use regrow_simulator::{
    model,
    report::comparison::{self, ProtocolTotals},
    scenario::{Ciphersuite, Fidelity, FileProblem, Protocol, Scenario},
};

use super::{args::CompareArgs, ending::Ending, files, output};

/// Plays one scenario on the cost model, once for each protocol.
pub(super) fn compare(args: &CompareArgs) -> Result<Ending> {
    let Some(scenario) = files::usable(&args.file) else { return Ok(Ending::Unusable) };
    if let Some(problem) = not_modelled(&scenario) {
        output::complain_about(&args.file, &[problem]);
        return Ok(Ending::Unusable);
    }
    args.csv.as_deref().map(output::check).transpose()?;
    let seed = args.seed.unwrap_or(scenario.seed);
    let mut scenario = Scenario { fidelity: Fidelity::Model, ..scenario };
    let mut rows = Vec::with_capacity(Protocol::ALL.len());
    for protocol in Protocol::ALL {
        // The post-quantum session comes beside a traditional one.
        let is_quantum = scenario.group.ciphersuite == Some(Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519);
        if protocol == Protocol::AmortizedPqCombiner && is_quantum {
            continue;
        }
        scenario.protocol = protocol;
        let outcome = model::run(&scenario, seed);
        if let Some(failure) = outcome.failures.first() {
            let place = failure.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            let file = args.file.display();
            output::complain(&format!("{file}: {place}expected: {}; seen: {}\n", failure.expected, failure.seen));
            return Ok(Ending::Failed);
        }
        rows.push(ProtocolTotals::of(protocol, &outcome));
    }
    let mut out = output::stdout();
    comparison::write_table(&mut out, &rows)?;
    out.flush()?;
    if let Some(csv) = &args.csv {
        output::write(csv, "the comparison", |file| comparison::write_csv(file, &rows))?;
    }
    Ok(Ending::Passed)
}

/// The first step that the cost model does not have.
fn not_modelled(scenario: &Scenario) -> Option<FileProblem> {
    let (place, name) = scenario.first_without_model()?;
    let problem = format!("line {}: the cost model has no such step or condition; leave it out to compare", place.line);
    Some(FileProblem { position: None, field: format!("{}.{name}", place.path), problem })
}
