//! What people and machines read: diagnostics, plans, reports. The only layer that knows colours.
