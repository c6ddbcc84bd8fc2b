/** Where a repository lives: the port and its implementations. */
export * from './port.js';
