//! E98 to E110: the agent dies, is replaced, is tampered with; clocks step.

use super::attack::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E98", "kill -9, out of memory, SIGSTOP of the agent at every step of an update", "the kernel always holds exactly one whole generation"),
        Attack::new("E99", "The agent is down and a new workload appears", "denied by a hook above its device, or by default")
            .note(
                "While a daemon runs, a new device is hooked within milliseconds. While none does, what a new workload sends to managed ones is judged at \
                 their hooks, as from nobody known; what it sends elsewhere isn't.",
            )
            .waits("a hook above the device (cgroup hooks, the host's own devices)"),
        Attack::new("E100", "An upgrade to another layout of the maps", "no packet is judged by neither"),
        Attack::new("E101", "A reboot: links are up before the agent", "a boot-time program, or ordering before the network; no open window")
            .waits("packaging (systemd units)"),
        Attack::new("E102", "Another tool removes our filter, takes the place before it, flushes the qdisc", "noticed within 1 s, repaired, recorded with the length of the gap"),
        Attack::new("E104", "Root writes our pinned maps, or unpins them", "noticed by the generation's hash, restored, recorded"),
        Attack::new("E105", "A packet on one CPU while another switches policies", "each packet sees one generation, never a mixture"),
        Attack::new("E106", "The wall clock steps back after a rule expired", "stays expired"),
        Attack::new("E107", "An old signed policy bundle is played back", "refused: its number must rise")
            .waits("signed bundles"),
        Attack::new("E108", "A rule expires while the agent is dead", "expires all the same"),
        Attack::new("E109", "The control plane is silent for minutes", "as declared for each segment: keep, freeze new flows, or close; visible")
            .waits("a control plane"),
        Attack::new("E110", "Dry run and enforcement differ on a packet", "on none of 10^5 random ones, nor on this table")
            .note("`explain`, FlowTests and `enforcer audit` judge by the same tables and function as the kernel programs. Random packets run against the reference (level 1, by themselves and as a recording that is audited) and the kernel (level 2) in every run."),
    ]
}
