export const load = () => ({ greeting: 'sveltekit' });
