//! Limits and reservations. PURE.

use super::super::Refusal;
use skep_projections::View;
use skep_proto::{
    NANO_CPUS, bytes_size,
    v1::{ResourceRequirements, Resources, RuntimeKind},
};

/// The smallest CPU limit, a hundredth of a CPU: kernels share no less than 1 ms of 100 ms.
const NANO_CPUS_LIMIT_MIN: i64 = NANO_CPUS / 100;
/// The smallest CPU reservation, a thousandth of a CPU; a smaller one is refused as a slip.
const NANO_CPUS_RESERVED_MIN: i64 = NANO_CPUS / 1_000;
/// The smallest memory, limited or reserved, that an engine takes.
const MEMORY_BYTES_MIN: i64 = 6 << 20;

pub(super) fn validate(
    view: &View,
    requirements: Option<&ResourceRequirements>,
) -> Result<(), Refusal> {
    let Some(requirements) = requirements else { return Ok(()) };
    let (limits, reserved) = (requirements.limits.as_ref(), requirements.reservations.as_ref());
    amounts("limit", limits, (NANO_CPUS_LIMIT_MIN, "0.01"))?;
    amounts("reservation", reserved, (NANO_CPUS_RESERVED_MIN, "0.001"))?;
    if let (Some(limit), Some(reserved)) = (limits, reserved) {
        let over = |limit: i64, reserved: i64| limit != 0 && reserved > limit;
        if over(limit.nano_cpus, reserved.nano_cpus)
            || over(limit.memory_bytes, reserved.memory_bytes)
        {
            return Err(Refusal::invalid("more is reserved than the limit allows to be used")
                .hint("raise the limit or lower the reservation"));
        }
    }
    limits.map_or(Ok(()), |limits| within_machines(view, limits.nano_cpus))
}

fn amounts(
    what: &str,
    resources: Option<&Resources>,
    (cpus_min, shown): (i64, &str),
) -> Result<(), Refusal> {
    let Some(r) = resources else { return Ok(()) };
    if r.nano_cpus != 0 && r.nano_cpus < cpus_min {
        return Err(Refusal::invalid(format!("CPU {what} is below the minimum"))
            .hint(format!("at least {shown} of a CPU")));
    }
    if r.memory_bytes != 0 && r.memory_bytes < MEMORY_BYTES_MIN {
        return Err(Refusal::invalid(format!("memory {what} is below the minimum"))
            .hint(format!("at least {}", bytes_size(MEMORY_BYTES_MIN.unsigned_abs()))));
    }
    Ok(())
}

/// An engine refuses a limit above the number of its machine's CPUs. A node offers tasks those less
/// what it keeps for the system, so the offer is rounded up to whole CPUs.
fn within_machines(view: &View, nano_cpus: i64) -> Result<(), Refusal> {
    if nano_cpus == 0 {
        return Ok(());
    }
    let nodes = view.nodes().iter().map(|(_, node)| node).filter(|node| !node.removed);
    let mut most = None;
    for said in nodes.map(|node| &node.description) {
        if said.runtime != RuntimeKind::Docker as i32 {
            return Ok(());
        }
        let offered = said.resources.as_ref().map_or(0, |resources| resources.nano_cpus);
        most = most.max(Some(offered.saturating_add(NANO_CPUS - 1) / NANO_CPUS));
    }
    match most {
        Some(cpus) if nano_cpus > cpus.saturating_mul(NANO_CPUS) => {
            let asked = nano_cpus as f64 / NANO_CPUS as f64;
            Err(Refusal::precondition(format!(
                "a limit of {asked} CPUs is more than any node offers ({cpus})"
            ))
            .hint(format!("limit it to {cpus} CPUs at most, or add a larger node")))
        }
        Some(_) | None => Ok(()),
    }
}
