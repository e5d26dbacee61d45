//! What the transport promises: limits, timeouts, and no two answers to one request.
