//! E98 to E110: the agent dies, is replaced, is tampered with; clocks step.

use super::attack::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E98", "kill -9, out of memory, SIGSTOP of the agent at every step of an update", "the kernel always holds exactly one whole generation")
            .note(
                "Beside 10,000 datagrams a second that may pass and as many that may not, on devices and at sockets at once, the daemon is stopped, killed, killed by the kernel for want of memory, and \
                 followed by another release and back: none is lost, none slips through, and each is counted once at each end.",
            ),
        Attack::new("E99", "The agent is down and a new workload appears", "denied by a hook above its device, or by default")
            .note(
                "While a daemon runs, a new device is hooked within milliseconds. While none does, what a new workload sends to managed ones is judged at \
                 their hooks, as from nobody known; what it sends elsewhere isn't. A service is unknown, and denied, from its start: its cgroup's hooks are there already.",
            ),
        Attack::new("E100", "An upgrade or a downgrade to another layout of the maps, also one that is killed at it", "no packet is judged by neither; flows stay open")
            .note(
                "Of 10,000 datagrams a second that are forbidden none passes, and of as many that are allowed none is lost, from before the upgrade until after the downgrade. Where the layout of \
                 the flow tables themselves changes, flows begin anew: a TCP connection that was open is denied (`state`).",
            ),
        Attack::new("E101", "A reboot: links are up before the agent", "a boot-time program, or ordering before the network; no open window")
            .note(
                "`enforcer-early.service` puts the last good set in force from disk before the network is up, and the daemon adopts it. Devices that appear in between are hooked by the \
                 daemon; a network that the initial file system sets up is there before any unit.",
            ),
        Attack::new("E102", "Another tool removes our filter, takes the place before it (XDP too), flushes the qdisc", "noticed within 1 s, repaired, recorded with the length of the gap")
            .note("While no daemon runs nobody looks: the next one tells what it finds changed, with the time since the last look."),
        Attack::new("E104", "Root writes our pinned maps, unpins or freezes them, or replaces a part of a program (`freplace`)", "noticed by comparing with what was written, restored, recorded")
            .note("What can't be restored (a frozen map; an extension of a program, until the next start) is told once and degrades the daemon. A machine that lets nobody load extensions, as the one that wrote this table, shows nothing of the latter."),
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
