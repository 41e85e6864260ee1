//! The `enforcer` binary.

fn main() -> enforcer_agent::exit::Exit {
    enforcer_agent::command::main()
}
