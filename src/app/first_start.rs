//! The first administrator: a one-time code on the terminal of the first start.

use crate::access::Access;
use crate::config::Config;
use crate::store::StoreError;

/// Prints the code and where to use it, while there is no user. It is printed, not logged: logs travel further than terminals.
pub(super) async fn announce(access: &Access, config: &Config) -> Result<(), StoreError> {
    let Some(code) = access.begin_first_start().await? else { return Ok(()) };
    let address = config.http.public_url.as_ref().map_or_else(|| format!("http://{}", config.http.listen), ToString::to_string);
    eprintln!(
        "\nThere is no user yet. Make the first administrator at\n\n    {address}/first-start\n\nwith this code, which works once and until the next start:\n\n    {}\n\nor on this machine: redrive user add NAME --role admin --password-stdin\n",
        code.expose()
    );
    Ok(())
}
