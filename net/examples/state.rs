//! Writes a value of state, changes it if nobody else did, and tells what others change.
//!
//! ```text
//! cargo run --release -p faaslet-net --example state -- ADDRESS TRUST_FILE TOKEN KEY TEXT
//! ```

use faaslet_net::client::{Client, ClientConfig, Condition, PutOptions, StateFailure};
use faaslet_net::tls;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, trust, token, key, text] = &arguments[..] else {
        return Err("usage: state ADDRESS TRUST_FILE TOKEN KEY TEXT".into());
    };
    let trust = tls::client_config(trust.as_ref())?;
    let client = Client::connect(ClientConfig::new(addr.parse()?, trust, token.as_str())).await?;
    let state = client.state();

    let made = state.put(key, text.clone()).await?;
    println!("{key} is {} bytes in version {}", made.len, made.version);
    let unchanged = PutOptions { condition: Condition::Is(made.version), ..PutOptions::default() };
    match state.put_with(key, text.to_uppercase(), unchanged).await {
        Ok(stat) => println!("changed to version {}", stat.version),
        Err(error) if error.failure() == Some(StateFailure::Conflict) => {
            println!("somebody else changed it first");
        }
        Err(error) => return Err(error.into()),
    }
    let mut value = state.get(key).await?;
    loop {
        println!("{}: {}", value.stat.version, String::from_utf8_lossy(&value.bytes));
        state.watch(key, value.stat.version).await?;
        value = state.get(key).await?;
    }
}
