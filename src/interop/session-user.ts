import type { Session } from '../model/authentication.ts';
import { decodeSession } from './tower-sessions.ts';

const MEMBERS = ['user_id', 'userId'];

/**
 * Whether a session is a user's: whether a member `user_id` or `userId`, or `user` of passport, at any depth of its data, is the
 * user's id. The data is that of express-session (JSON) or tower-sessions (MessagePack); any other form belongs to nobody.
 */
export const belongsTo = ({ data }: Pick<Session, 'data'>, userId: string): boolean => names(contentOf(data), userId);

function contentOf(data: Uint8Array): unknown {
  try {
    // a record of tower-sessions is an array of three, which no JSON text starts like
    return data[0] === 0x93 ? decodeSession(data).data : JSON.parse(Buffer.from(data).toString());
  } catch {
    return null;
  }
}

function names(value: unknown, userId: string, inside = ''): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, member]) => {
    const isOne = MEMBERS.includes(key) || (inside === 'passport' && key === 'user');
    return (isOne && typeof member === 'string' && member.toLowerCase() === userId) || names(member, userId, key);
  });
}
