export async function archive() {}
