export function signed(f) { return f; }
