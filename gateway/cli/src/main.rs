//! `hufu`: the one binary.
//!
//! | module | subject |
//! |---|---|
//! | [`cli`] | what can be typed: the command table |
//! | [`commands`] | what each command does, one file a command |
//! | [`output`] | results on stdout, words for people on stderr |
//! | [`answer`] | exit status: 0 yes, 1 no, 2 misuse; errors that say what to do next |
//! | [`client`] | how commands speak with a running gateway |
//! | [`policy_file`] | edits of a policy that keep its comments |
//! | [`files`] | reading with a limit, writing secrets, never overwriting |

mod answer;
mod cli;
mod client;
mod commands;
mod files;
mod output;
mod policy_file;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let out = output::Output::new(cli.json);
    match cli.command.run(&out).and_then(|answer| out.flush().map(|()| answer)) {
        Ok(answer) => answer.into(),
        Err(error) => answer::explain(&error, &out),
    }
}
