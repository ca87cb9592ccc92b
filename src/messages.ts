/** `mipha-edge/messages`: schemas and types of everything a node says and takes over MQTT, for programs on the other side of the broker. */
export * from './mqtt/messages.js';
export * from './mqtt/request-schemas.js';
