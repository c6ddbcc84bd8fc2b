/**
 * Takes NODE_EXTRA_CA_CERTS away from the processes that tests start: each would read all those certificates when it starts, which takes
 * longer than all else that it does then. Only npm needs them.
 */
const certificates = process.env['NODE_EXTRA_CA_CERTS'];
delete process.env['NODE_EXTRA_CA_CERTS'];

/** The environment of a process that goes to the network. */
export function environmentWithCertificates(): NodeJS.ProcessEnv {
  return { ...process.env, ...(certificates !== undefined && { NODE_EXTRA_CA_CERTS: certificates }) };
}
