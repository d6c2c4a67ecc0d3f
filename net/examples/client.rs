//! Calls a function of a monitor and prints its output.
//!
//! ```text
//! cargo run --release -p faaslet-net --example client -- ADDRESS TRUST_FILE TOKEN FUNCTION [INPUT]
//! ```

use faaslet_net::client::{CallError, CallOptions, Client, ClientConfig};
use faaslet_net::tls;
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, trust, token, function, rest @ ..] = &arguments[..] else {
        return Err("usage: client ADDRESS TRUST_FILE TOKEN FUNCTION [INPUT]".into());
    };
    let input = rest.join(" ");

    let trust = tls::client_config(trust.as_ref())?;
    let client = Client::connect(ClientConfig::new(addr.parse()?, trust, token.as_str())).await?;
    println!("tenant {}", client.tenant());

    let options = CallOptions { deadline: Some(Duration::from_secs(10)), ..Default::default() };
    match client.call_with(function, input, options).await {
        Ok(reply) => println!("{}\n(ran {:?})", reply.message(), reply.timings.run),
        // What may have run is for the caller to judge: only it knows if running twice is harmful.
        Err(CallError::Unknown { reason }) => eprintln!("no answer, it may have run: {reason}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
