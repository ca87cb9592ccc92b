/** The `mqtt` section as connections take it. */
import type { BrokerOptions } from '../mqtt/client.js';
import type { Config } from './config/config.js';

export function linkOptions(mqtt: Config['mqtt']): Omit<BrokerOptions, 'clientId'> {
  const { url, protocol, keepalive_s, max_packet_bytes, username, password_file, ca_file, cert_file, key_file } = mqtt;
  return {
    url,
    protocol,
    keepaliveS: keepalive_s,
    maxPacketBytes: max_packet_bytes,
    ...(username === undefined ? {} : { username }),
    ...(password_file === undefined ? {} : { passwordFile: password_file }),
    ...(ca_file === undefined ? {} : { caFile: ca_file }),
    ...(cert_file === undefined ? {} : { certFile: cert_file }),
    ...(key_file === undefined ? {} : { keyFile: key_file }),
  };
}
