// SPDX-License-Identifier: GPL-2.0

//! `ferrite-stream FILE` prints the stream of a VF that is in a file, or on standard input with `-`.

use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(path), None) = (args.next(), args.next()) else {
        eprintln!("usage: ferrite-stream FILE    prints the stream of a VF; - is standard input");
        return ExitCode::from(2);
    };
    let stream = match read(&path) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("ferrite-stream: {path}: {error}");
            return ExitCode::from(2);
        }
    };
    match ferrite_stream::print(&stream) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err((text, bad)) => {
            print!("{text}");
            eprintln!("ferrite-stream: {path}: {bad}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    if path == "-" {
        let mut stream = Vec::new();
        std::io::stdin().read_to_end(&mut stream)?;
        return Ok(stream);
    }
    std::fs::read(path)
}
