//! Numbers and names that make sense by themselves.

use super::finding::Check;

pub(super) fn machine(check: &mut Check<'_>) {
    if let [first, second, ..] = check.config.machine.named()[..] {
        let message = format!("the agent has a name already, {first}: keep one of the two");
        check.say(&["machine", second], message);
    }
    if check.config.machine.agent_pid == Some(0) {
        check.say(&["machine", "agent_pid"], "no process has the id 0");
    }
}

pub(super) fn numbers(check: &mut Check<'_>) {
    let dollars = |value: f64| value.is_finite() && value >= 0.0;
    if !dollars(check.config.session.max_cost_usd) {
        check.say(
            &["session", "max_cost_usd"],
            "an amount of dollars is 0 (no limit) or more",
        );
    }
    if check.config.session.idle_minutes == 0 {
        check.say(&["session", "idle_minutes"], "at least 1: the default is 5");
    }
    if check.config.session.hibernate_seconds == 0 {
        check.say(
            &["session", "hibernate_seconds"],
            "at least 1: the default is 60",
        );
    }
    for (model, price) in &check.config.prices {
        for (key, value) in [
            ("input", price.input),
            ("output", price.output),
            ("cached_input", price.cached_input.unwrap_or(0.0)),
        ] {
            if !dollars(value) {
                check.say(
                    &["price", model, key],
                    "a price is dollars per million tokens, 0 or more",
                );
            }
        }
    }
    let limits = &check.config.limits;
    for (key, value) in [
        ("memory_mib", limits.memory_mib),
        ("cpu_ms", limits.cpu_ms),
        ("wall_ms", limits.wall_ms),
        ("stack_kib", limits.stack_kib),
        ("table_elements", limits.table_elements),
        ("hostcall_kib", limits.hostcall_kib),
        ("handles", limits.handles),
        ("findings", limits.findings),
        ("actions", limits.actions),
        ("details", limits.details),
        ("file_mib", limits.file_mib),
        ("instances", limits.instances),
    ] {
        if value == 0 {
            check.say(
                &["limits", key],
                "no policy can run with 0 of this: remove the line for the default",
            );
        }
    }
}
