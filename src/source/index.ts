/** Where records and files come from and go to: the ports, and a source and a target for each format. */
export * from './local-file.js';
export * from './port.js';
