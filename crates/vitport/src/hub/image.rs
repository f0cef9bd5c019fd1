//! Fetches one file from any address, for an image that is given as a link. It is not cached: it goes to a temporary file that
//! has no name and disappears with its handle.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::address::{Address, shown_address};
use super::client::{Client, cut};
use super::config::HubConfig;
use super::error::HubError;
use super::progress::{FetchEvent, Progress};
use super::retry::{Fault, retrying};

/// Fetches `url` (http or https) into a new temporary file without a name in `folder`; at most `limit` bytes.
///
/// Proxies, patience and certificates are those of the Hub; the token is sent only if the address is on
/// the Hub's own origin.
///
/// # Errors
/// [`HubError::OfflineAddress`] when offline, [`HubError::TooLarge`] beyond `limit`, and what the network, the
/// server or the disk does.
pub fn fetch_url(
    config: &HubConfig,
    url: &str,
    folder: &Path,
    limit: u64,
    progress: &dyn Progress,
) -> Result<File, HubError> {
    let shown = shown_address(url);
    if config.offline {
        return Err(HubError::OfflineAddress { address: shown });
    }
    let address = Address::parse(url)?;
    let client = Client::new(config)?;
    let name = shown.rsplit('/').find(|part| !part.is_empty()).unwrap_or("image");
    let too_large = || HubError::TooLarge { address: shown.clone(), limit };
    let mut pace = client.pace(false);
    retrying(&config.retries, progress, || {
        let answer = client.get(&address, &shown, 0)?;
        let host = client.shown_host(&answer.address);
        if answer.status != 200 {
            return Err(
                HubError::Status { host, what: shown.clone(), status: answer.status, tries: 1 }.into()
            );
        }
        let size = answer.number("content-length");
        if size.is_some_and(|size| size > limit) {
            return Err(too_large().into());
        }
        progress.event(FetchEvent::Started { file: name, size, resumed_from: 0 });
        let write = |source| Fault::Final(HubError::disk("write a temporary file in", folder, source));
        let mut file = tempfile::tempfile_in(folder).map_err(write)?;
        let mut reader = answer.body.into_reader().take(limit.saturating_add(1));
        let mut block = vec![0; 64 * 1024];
        let mut received: u64 = 0;
        pace.begin();
        loop {
            let read = reader.read(&mut block).and_then(|count| pace.received(count).map(|()| count));
            let count = match read {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(cut(&error, false, |why| HubError::Cut {
                        file: name.to_owned(),
                        host,
                        received,
                        expected: size,
                        tries: 1,
                        why,
                    }));
                }
            };
            file.write_all(block.get(..count).unwrap_or_default()).map_err(write)?;
            let bytes = u64::try_from(count).unwrap_or(0);
            received = received.saturating_add(bytes);
            progress.event(FetchEvent::Received { bytes });
        }
        if received > limit {
            return Err(too_large().into());
        }
        file.rewind().map_err(write)?;
        progress.event(FetchEvent::Finished { file: name });
        Ok(file)
    })
}
