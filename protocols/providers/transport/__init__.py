"""HTTP: sessions, proxies, streams, and the clients of official SDKs."""
